"""The records of a trainer's run: its steps, validations, checkpoints and epochs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from torch import Tensor

from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.update import Update
from engine.adapters.hooks.weight_norms import WeightNorms
from engine.adapters.replays.network_replays import NetworkReplays
from engine.adapters.run.attached_run import AttachedRun
from engine.adapters.run.state.attached_state import AttachedState, LoaderPosition
from engine.adapters.steps.step_reading import StepReading
from engine.adapters.trainers.handed_queue import HandedQueue
from engine.adapters.trainers.late_knobs import LateKnobs
from engine.adapters.trainers.step_clock import StepClock
from engine.adapters.trainers.training import saved_decisions
from engine.errors import UserError
from engine.protocol import events as e

P = ParamSpec("P")
R = TypeVar("R", bound="TrainerRecords")
_PARTS_OF_EPOCH: Final = 1_000_000


def while_open(
    method: Callable[Concatenate[R, P], None],
) -> Callable[Concatenate[R, P], None]:
    """Return `method` so that it does nothing without an open run."""

    @functools.wraps(method)
    def call(self: R, *args: P.args, **kwargs: P.kwargs) -> None:
        if self.is_open:
            method(self, *args, **kwargs)

    return call


class TrainerRecords:
    """Records what a trainer does in the open run, if there is one."""

    def __init__(self) -> None:
        self.hooks: OptimizerHooks | None = None
        self.logged: dict[str, float | Tensor] = {}
        self.knobs = LateKnobs()
        self.handed = HandedQueue()
        self.clock = StepClock()
        self.weights = WeightNorms()
        self._run: AttachedRun | None = None
        self._live: AttachedState | None = None
        self._replays: NetworkReplays | None = None

    @property
    def is_open(self) -> bool:
        """Whether a run is being recorded."""
        return self._run is not None and not self._run.is_over

    @property
    def run(self) -> AttachedRun:
        """The current run, or the last one. Raises UserError before the first."""
        if self._run is None:
            raise UserError("the run begins with the training")
        return self._run

    def saved(self) -> dict[str, Any]:
        """Return what the trainer's checkpoint has to hold, so that a resume knows the decisions at its step."""
        if self._run is None or self.hooks is None or self._run.is_over:
            return {}
        return saved_decisions(self._run, self.hooks.learning_rate)

    def end_step(self, epoch: float, logged: Mapping[str, float | Tensor] | None = None) -> None:
        """Record the step if there was an update; `epoch` is the progress, fractional.

        `logged` are numbers of this step; those in `self.logged` are recorded with it too.
        """
        if self.hooks is None or not self.hooks.update.count:
            return
        update = self.hooks.take()
        if self._live is None or not self.is_open:
            return
        run = self.run
        self._live.position = _position(epoch)
        reading = StepReading(
            update,
            _losses(update),
            seconds=self.clock.seconds,
            wait=self.clock.wait,
            samples=self.clock.samples,
            logged={**self.logged, **(logged or {})},
            weight_norms=self.weights.read(self.hooks),
        )
        self.logged = {}
        is_late = update.finite is not None
        is_skipped = run.add(reading)
        if self._replays is not None:
            self._replays.end_step(update, is_skipped=is_skipped, is_late=is_late)
        self.clock.restart()

    @while_open
    def checkpointed(self, path: Path | str, kind: str) -> None:
        """Record the trainer's own checkpoint at `path`, as the answer of the commands that asked for one."""
        run, asked = self.run, self.handed.take(e.CheckpointRequested)
        saved = checkpoint_event(run, path, "asked" if asked else kind)
        for handed in asked:
            run.answer(handed, saved)
        if not asked:
            run.record(saved)

    @while_open
    def validated(self, metrics: Mapping[str, float], loss: float | None, seconds: float) -> None:
        """Record the trainer's own validation, as the answer of the command that asked for one."""
        if not metrics and loss is None:
            return
        run, asked = self.run, self.handed.take(e.ValidationRequested)
        run.validated(metrics, loss, seconds, asked[0].done if asked else None)
        for handed in asked[1:]:
            run.decline(handed, "a validation was asked for twice: the first one answers it")

    @while_open
    def end_epoch(self, epoch: int, seconds: float) -> None:
        """Record that `epoch` (from 0) is complete."""
        self.run.end_epoch(epoch, seconds)


def checkpoint_event(run: AttachedRun, path: Path | str, kind: str) -> e.CheckpointSaved:
    """Return the event of a trainer's checkpoint of the newest step."""
    run.settle()
    state = run.recorder.state
    loss = math.nan if state.loss is None else state.loss
    return e.CheckpointSaved(str(path), kind, loss, state.score, run.checkpointer.is_good(run.step))


def _losses(update: Update) -> dict[str, float | Tensor]:
    """Return the step's loss: the sum over its batches, each of which the trainer has divided by their number."""
    if not update.losses:
        return {}
    total = sum(update.losses[1:], update.losses[0])
    return {"": total}


def _position(epoch: float) -> LoaderPosition:
    whole = math.floor(epoch)
    return LoaderPosition(whole, round((epoch - whole) * _PARTS_OF_EPOCH), _PARTS_OF_EPOCH)
