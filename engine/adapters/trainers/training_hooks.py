"""What the cockpit puts on a trainer's training and removes at its end: hooks, and the kept passes of its networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

import torch

from engine.adapters.hooks import patches
from engine.adapters.hooks.gradients.parameter_names import ParameterNames
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.replays.network_replays import NetworkReplays
from engine.adapters.run.attached_run import AttachedRun
from engine.adapters.trainers.training import TrainerTraining


class TrainingHooks:
    """The hooks on one training, from `install` to `remove`. `on_fault` receives an exception of theirs."""

    def __init__(self, training: TrainerTraining, on_fault: Callable[[Exception], None]) -> None:
        self.hooks = hooks = OptimizerHooks(
            ParameterNames(training.models), on_fault, judges_closures=training.judges_closures
        )
        hooks.judges_losses = training.num_ranks == 1
        hooks.stays_after_fault = training.num_ranks > 1
        self._replays: NetworkReplays | None = None

    def install(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        """Put the hooks on the optimizers, and on torch."""
        for optimizer in optimizers:
            self.hooks.watch(optimizer)
        patches.install(self.hooks)

    def keep_passes(self, training: TrainerTraining, run: AttachedRun) -> NetworkReplays | None:
        """Keep the passes of the networks of `training`, so that a fault of `run` can be named by repeating them.

        Return `None` with several processes: one cannot repeat a pass alone, since layers may wait for the others.
        """
        if training.num_ranks == 1:
            self._replays = NetworkReplays(training.replayed or training.models, run, self.hooks)
        return self._replays

    def retire(self) -> None:
        """Do nothing more. Any thread may call it; `remove` follows in the training's own."""
        self.hooks.retire()
        patches.remove(self.hooks)
        if self._replays is not None:
            self._replays.retire()

    def remove(self) -> None:
        """Remove all. After a call inside a hook of torch, where hooks stay, a second one removes them."""
        with suppress(Exception):
            patches.remove(self.hooks)
            self.hooks.remove()
        replays, self._replays = self._replays, None
        with suppress(Exception):
            if replays is not None:
                replays.remove()
