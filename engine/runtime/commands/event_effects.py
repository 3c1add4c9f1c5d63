"""Apply the effects of steering events, and repeat recorded ones after a crash or in a reproduction."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from engine.protocol import events as e
from engine.protocol.commands import GUARDIAN
from engine.protocol.events import Event
from engine.protocol.evolve import evolve
from engine.protocol.state import RunState
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.reproduce.recorded_action import RecordedAction
from engine.training.checkpoint.file import checkpoint_name


def carry_out(checkpointer: Checkpointer, event: Event) -> None:
    """Apply a steering event to tensors and data before it is recorded; a promotion first writes a checkpoint."""
    if isinstance(event, e.PhasePromoted):
        checkpointer.checkpoint("promotion")
    checkpointer.train_state.carry_out(event, checkpointer.recorder.state)


def follow_up(checkpointer: Checkpointer, event: Event, before: RunState) -> None:
    """Update what follows from a steering event that is recorded now; `before` is the state without it.

    A promotion starts a probation, with the checkpoint to return to.
    """
    recorder, train_state = checkpointer.recorder, checkpointer.train_state
    settings = checkpointer.config.guard.recovery
    recorder.update(total_steps=train_state.total_steps(recorder.state))
    if recorder.state.phase != before.phase:  # checks of the previous phase must not open the gate of this one
        recorder.update(gate=checkpointer.memory.gate_checks(recorder.state, checkpointer.config))
    if isinstance(event, e.PhasePromoted) and settings.probation_steps:
        until = before.step + settings.probation_steps
        started = e.ProbationStarted(checkpoint_name(before.step), event.before, until, event.enabled)
        recorder.record_event(started, actor=GUARDIAN)


class ReplayQueue:
    """Recorded actions to repeat, in order: steering, rollbacks, validations, checkpoints and the end."""

    def __init__(self, checkpointer: Checkpointer):
        self._checkpointer = checkpointer
        self._recorder = checkpointer.recorder
        self._waiting: deque[RecordedAction] = deque()

    def schedule(self, past: Iterable[RecordedAction]) -> None:
        """Queue recorded actions."""
        self._waiting = deque(past)

    def is_due(self) -> bool:
        """Return whether a recorded action is due at this boundary."""
        if not self._waiting or self._waiting[0].step > self._recorder.state.step:
            return False
        return not (self._waiting[0].settled and self._checkpointer.memory.validation_due)

    def carry_out(self) -> None:
        """Repeat the due actions. Raises CheckpointDamagedError if a rollback's checkpoint is missing."""
        while self.is_due():
            self._do_again(self._waiting.popleft())

    def _do_again(self, past: RecordedAction) -> None:
        match past.event:
            case e.RolledBack(checkpoint=name):
                self._note(past, self._checkpointer.rollback(name))
                self._checkpointer.settle_rollback()
            case e.ValidationCompleted():
                best = self._recorder.state.best_score
                if summary := self._checkpointer.validator.validate():
                    self._note(past, summary)
                    self._checkpointer.memory.note_validation(summary, self._recorder.state.spec.score)
                    self._checkpointer.keep_best(former=best)
            case e.CheckpointSaved():
                self._note(past, self._checkpointer.checkpoint_now("asked"))
            case event:
                state = self._recorder.state
                if evolve(state, event, state.step) != state:
                    carry_out(self._checkpointer, event)
                    self._note(past, event)
                    follow_up(self._checkpointer, event, state)

    def _note(self, past: RecordedAction, event: Event) -> None:
        self._recorder.record_event(event, actor=past.actor, reason=past.reason)
