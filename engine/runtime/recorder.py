"""The one place where things are written down: the state evolves, the journal and TensorBoard hear of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.journal.writer import JournalWriter
from engine.outputs.tensorboard import TensorboardWriter
from engine.protocol.decide import Outcome
from engine.protocol.events import Activity, ActivityChanged, AlertRaised, Event
from engine.protocol.state import RunState, evolve

VANISHED: Final = "vanished"
"""The kind of an alert about files of the run that were deleted while it trained."""


class RunRecorder:
    """Holds the current RunState; every change of it passes here and is journalled.

    Given `begin`, which opens the journal and returns TensorBoard's writer, it keeps in memory what it hears of until
    then.
    """

    def __init__(
        self,
        state: RunState,
        journal: JournalWriter,
        tensorboard: TensorboardWriter | None = None,
        *,
        begin: Callable[[], TensorboardWriter | None] | None = None,
    ):
        self.state = state
        self.journal = journal
        self._tensorboard = tensorboard
        self._begin = begin
        self._reported: set[str] = set()

    def begin(self) -> None:
        """Begin to write on the disk, if that was put off; a second call does nothing. Raises UserError."""
        begin, self._begin = self._begin, None
        if begin is not None:
            self._tensorboard = begin()

    def record_event(self, event: Event, *, actor: str = "engine", reason: str = "") -> None:
        """Something happened that answers no command."""
        self._evolve(event)
        self.journal.record_event(self.state.step, event, actor=actor, reason=reason)

    def record_outcome(self, outcome: Outcome, event: Event, *, actor: str, command_id: int | None) -> None:
        """A command ended as `outcome`; `event` is what came of it."""
        self._evolve(event)
        self.journal.record_event(
            self.state.step,
            event,
            status=outcome.status,
            reason=outcome.reason,
            actor=actor,
            command_id=command_id,
        )

    def _evolve(self, event: Event) -> None:
        """The state goes first, so that nobody reads of an event whose effect is not there yet."""
        self.state = evolve(self.state, event, self.state.step)
        self.journal.record_state(self.state)

    def update(self, **measured: Any) -> None:
        """Fields of the state that are measured, not decided: step, loss, norms, throughput."""
        self.state = replace(self.state, **measured)
        self.journal.record_state(self.state)

    def set_activity(self, activity: Activity) -> None:
        """The engine turns to something else, if it is not at it already."""
        if self.state.activity is not activity:
            self.record_event(ActivityChanged(self.state.activity, activity))

    def alert_once(self, alert: AlertRaised) -> None:
        """Raise an alert the first time this run meets its kind."""
        if alert.kind not in self._reported:
            self._reported.add(alert.kind)
            self.record_event(alert)

    def record_step(self, step: int, epoch: float, names: tuple[str, ...], values: Sequence[float]) -> None:
        """One row of metrics: the step with number `step` (from 1) ended at `epoch` (fractional)."""
        self.journal.record_step(step, epoch, names, values)
        if self._tensorboard:
            self._tensorboard.record_step(step, names, values)

    def record_validation(self, epoch: float, names: tuple[str, ...], values: Sequence[float]) -> None:
        """One row of validation metrics."""
        self.journal.record_validation(self.state.step, epoch, names, values)
        if self._tensorboard:
            self._tensorboard.record_validation(self.state.step, names, values)

    def open_branch(self, from_step: int) -> None:
        """The run goes on from `from_step`; what was recorded after it is superseded."""
        self.journal.open_branch(from_step)
        if self._tensorboard:
            self._tensorboard.open_branch(from_step)

    def record_preview(self, tag: str, image_HWC: NDArray[np.uint8]) -> None:
        """A picture for TensorBoard."""
        if self._tensorboard:
            self._tensorboard.record_images(self.state.step, tag, image_HWC)

    def watch_losses(self) -> None:
        """Raise an alert for each time that the journal's files vanished and were written again."""
        for loss in self.journal.take_losses():
            self.record_event(AlertRaised(VANISHED, loss))

    def watch_writers(self) -> None:
        """Turn a writer's failure (a full disk, say) into an alert; training goes on."""
        if self.journal.failure:
            self.alert_once(
                AlertRaised("journal", f"the journal cannot be written: {self.journal.failure}", "free disk")
            )
        if self._tensorboard and self._tensorboard.failure:
            self.alert_once(
                AlertRaised("tensorboard", f"TensorBoard stopped: {self._tensorboard.failure}", "free disk")
            )

    def close(self) -> None:
        """Write what is left and end both writers."""
        if self._tensorboard:
            self._tensorboard.close()
        self.journal.close()
        for loss in self.journal.take_losses():  # too late for an alert
            logging.getLogger(__name__).warning("%s", loss)
