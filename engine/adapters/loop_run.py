"""The run of an own loop: its beginning and its end."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from engine.adapters.capabilities import LOOP
from engine.adapters.hooks import patches
from engine.adapters.hooks.gradient_reader import ParameterNames
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.update_judge import num_processes
from engine.adapters.loop_batches import LoopBatches, LoopNumbers
from engine.adapters.loop_options import LoopOptions, OptionWords
from engine.adapters.replays.fork_replay import StepReplay
from engine.adapters.run.attached_run import AttachedRun, TrainingStopped
from engine.adapters.run.attached_state import AttachedState
from engine.adapters.run.batches import by_name
from engine.adapters.run.run_files import program_of
from engine.adapters.run.settings import NoValidation, attached_config, run_directory
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol.state import RunState
from engine.protocol.wire import state_from_text
from engine.training.checkpoint.file import CheckpointDamagedError, list_checkpoints

_Parts = Any
"""A network, several, or several by name; likewise optimizers. `Any`: pyright cannot tell them apart at run time."""


class LoopRun:
    """Opens the run of an own loop, and ends it with the `with` block, with `close`, or with the program."""

    def __init__(self, model: _Parts, optimizer: _Parts, **options: Unpack[OptionWords]) -> None:
        chosen = LoopOptions(**options)
        if (processes := max(num_processes(), int(os.environ.get("WORLD_SIZE", "1")))) > 1:
            raise UserError(
                f"Cockpit() records a training in one process, and this one has {processes}: start it with "
                "`training-cockpit run -- torchrun ...`, or use the callback for Hugging Face or Lightning"
            )
        models, optimizers = by_name(model), list(by_name(optimizer).values())
        self._hooks = OptimizerHooks(ParameterNames(models), self._detach)
        if chosen.layers_every is not None:
            self._hooks.layers.measure_every(chosen.layers_every)
        for one in optimizers:
            self._hooks.watch(one)
        self._live = AttachedState(models, self._hooks, chosen.stateful(), total=chosen.max_steps)
        self._checkpoint_every = chosen.checkpoint_every
        directory = run_directory(chosen.runs_dir, chosen.run, resume=chosen.resume)
        settings = attached_config(chosen.checkpoint_every)
        self._run = AttachedRun(directory, settings, self._live, NoValidation())
        self._replay = StepReplay(models)
        self._batches = LoopBatches(self._live)
        self._numbers = LoopNumbers(self._hooks)
        self._stopped = False
        self._entered = False
        self._is_replay_due = False
        self._is_settled = False
        state = chosen.first_state(directory.name, optimizers)
        self._open(state, chosen.config or {}, resume=chosen.resume)

    def _open(self, state: RunState, config: Mapping[str, Any], *, resume: bool) -> None:
        payload = self._newest() if resume else None
        if payload is not None:
            state = state_from_text(payload["state"], state.spec)
        patches.install(self._hooks)
        described = {"adapter": LOOP.name, "program": program_of(), "config": config}
        try:
            self._run.open(state, described, payload)
        except BaseException:
            patches.remove(self._hooks)
            self._hooks.remove()
            raise
        if payload is not None:
            self._batches.resume()
        else:
            self._run.checkpoint("start")
        atexit.register(self._at_exit)
        where = self._run.directory
        sys.stderr.write(f"cockpit: recording {where}; from another terminal: training-cockpit status {where}\n")

    def _newest(self) -> Mapping[str, Any]:
        """Return the newest checkpoint that fits. Raises UserError if there is none."""
        directory = self._run.directory / CHECKPOINTS
        reason = "it has none"
        for path in reversed(list_checkpoints(directory)):
            try:
                return self._live.load(path)
            except CheckpointDamagedError as error:
                reason = str(error)
        raise UserError(f"no usable checkpoint in {directory}: {reason}; begin a new run under another name")

    @property
    def step(self) -> int:
        """The number of optimizer steps done."""
        return self._run.step

    @property
    def directory(self) -> Path:
        """The directory of the run."""
        return self._run.directory

    @property
    def _is_detached(self) -> bool:
        return self._run.is_over and not self._stopped

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, TrainingStopped):
            self._close()
            return True
        if error is None:
            self.close()
        else:
            self._failed(error)
        return False

    def close(self) -> None:
        """End the run as complete, with a last checkpoint."""
        self._run.end("complete")
        self._close()

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._run.end("interrupted", checkpoint=not self._hooks.in_step)
        else:
            self._run.fail(error)
        self._close()

    def _close(self) -> None:
        self._stopped = True
        patches.remove(self._hooks)
        self._hooks.remove()
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        self._run.end("ended with the program", checkpoint=not self._hooks.in_step)
        self._close()

    def _detach(self, error: Exception) -> None:
        if os.environ.get("TRAINING_COCKPIT_RAISE"):
            raise error
        patches.remove(self._hooks)
        self._run.detach(error)

    def _let_go(self) -> None:
        """Remove what a detached cockpit has left: its own thread and the hooks of torch must not do it."""
        patches.remove(self._hooks)
        self._hooks.remove()
