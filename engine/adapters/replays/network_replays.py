"""Name the operations behind the non-finite steps of a run by repeating the network, in the training's own thread.

On the CPU a step is judged before it ends. On an accelerator the verdict may arrive only when the next update begins.
The weights are still those of the step then, so that its passes can be repeated, and no step waits for the device.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.update import Update
from engine.adapters.replays.model_replay import ModelReplay
from engine.adapters.run.attached_run import AttachedRun


class NetworkReplays:
    """Repeats the networks `models` of `run`, which one process trains alone, if a step was not finite."""

    def __init__(self, models: Mapping[str, nn.Module], run: AttachedRun, hooks: OptimizerHooks) -> None:
        self._run = run
        self._hooks = hooks
        self._replay = ModelReplay(models)
        self._replay.watch()
        hooks.on_late_skip = self._name_late

    def end_step(self, update: Update, *, is_skipped: bool, is_late: bool) -> None:
        """Name the fault of the newest step, which is recorded, if it `is_skipped` as far as the host knows.

        `is_late` is whether its verdict was still on the device when it ended.
        """
        run = self._run
        if is_skipped and run.replays.is_due(update, run.step):
            fault, seconds = self._replay.name_fault()
            run.name_fault(fault, run.step, seconds)
        self._replay.end_step(is_settled=is_skipped or not is_late)

    def end(self) -> None:
        """Name the fault of the last step, if its verdict has still to take effect."""
        self._hooks.settle_late()

    def retire(self) -> None:
        """Keep nothing more. Any thread may call it; `remove` follows in the training's own."""
        self._replay.retire()

    def remove(self) -> None:
        """Leave the networks alone."""
        self._hooks.on_late_skip = None
        self._replay.remove()

    def _name_late(self) -> None:
        """Name the fault of an update that is known only now not to count."""
        run, is_former = self._run, not self._hooks.update.count
        step = run.step if is_former else run.step + 1
        if run.is_over or not run.replays.is_due(Update(), step):
            return
        run.settle()  # the event of the skipped step comes first
        fault, seconds = self._replay.name_fault(former=is_former)
        run.name_fault(fault, step, seconds)
