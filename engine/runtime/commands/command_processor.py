"""Collect commands from the journal, script and signals, and apply them at step boundaries."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import GUARDIAN, SCRIPT, SIGNAL, Request
from engine.protocol.decide import Outcome, decide, refused
from engine.protocol.events import Event
from engine.protocol.record import record
from engine.protocol.wire import refusal_of
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.checkpointer import Checkpointer, NotSetAsideError
from engine.runtime.commands.event_effects import ReplayQueue, carry_out, follow_up
from engine.runtime.commands.request_queue import RequestQueue
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.recorder import RunRecorder
from engine.runtime.reproduce.recorded_action import RecordedAction
from engine.task import DataGoneError
from engine.training.checkpoint.file import CheckpointDamagedError
from engine.training.checkpoint.live_state import LiveState, TakesHistograms


@record
class HandedOver:
    """A checkpoint or a validation that a foreign trainer carries out by itself. Call `done` or `refuse` once."""

    event: e.CheckpointRequested | e.ValidationRequested
    done: Callable[[Event], None]
    refuse: Callable[[str], None]


class CommandProcessor:
    """Give every command exactly one outcome, at a step boundary.

    With `hand_over`, checkpoints and validations are left to its caller, who answers them later.
    """

    def __init__(
        self,
        requests: RequestQueue,
        recorder: RunRecorder,
        train_state: LiveState,
        checkpointer: Checkpointer,
        hand_over: Callable[[HandedOver], None] | None = None,
    ):
        self._requests = requests
        self._recorder = recorder
        self._train_state = train_state
        self._checkpointer = checkpointer
        self._hand_over = hand_over
        self._interrupt = requests.interrupt
        self._script: deque[ScriptedCommand] = deque()
        self._proposed: deque[Request] = deque()
        self._redoing = ReplayQueue(checkpointer)
        self.is_driven = False
        self.is_validating = False
        """Whether a validation that was asked for runs, or ended in an error: it leaves the state as it was."""

    def schedule(self, script: Sequence[ScriptedCommand], redo: Iterable[RecordedAction], *, from_step: int) -> None:
        """Schedule commands for later steps.

        Script commands that an interrupted run had passed are not repeated.
        """
        ahead = [item for item in script if item.step >= from_step]
        self._script = deque(sorted(ahead, key=lambda item: item.step))
        self._redoing.schedule(redo)

    def drive(self, past: Iterable[RecordedAction]) -> None:
        """Repeat exactly the recorded actions from now on. Guardian and autopilot are inactive."""
        self._redoing.schedule(past)
        self.is_driven = True

    def propose(self, requests: Iterable[Request]) -> None:
        """Queue requests of the guardian or autopilot for the next boundary, before all others."""
        self._proposed.extend(requests)

    @property
    def interrupt(self) -> Interrupt:
        """The requests of signals and of the time limit."""
        return self._interrupt

    @property
    def is_proposed(self) -> bool:
        """Whether a request of the guardian or autopilot is pending."""
        return bool(self._proposed)

    def refuse_stale(self) -> None:
        """Refuse commands that a dead process left unanswered."""
        for request in self._requests.stale():
            self._refuse(request, refused("the run had ended before it processed this; send it again"))

    def is_waiting(self) -> bool:
        """Return whether `process_pending` would do anything at this boundary."""
        is_asked = self._requests.poll()
        step = self._recorder.state.step
        due = self._redoing.is_due() or bool(self._script and self._script[0].step <= step)
        is_signalled = self._interrupt.is_set() or bool(self._interrupt.checkpoint)
        return due or bool(self._proposed) or is_asked or is_signalled

    def process_pending(self) -> None:
        """Process all requests that are due at this boundary."""
        self._redoing.carry_out()
        while self._proposed:
            self._handle(self._proposed.popleft())
        while self._script and self._script[0].step <= self._recorder.state.step:
            self._handle(Request(id=0, actor=SCRIPT, command=self._script.popleft().command))
        if number := self._interrupt.take_checkpoint():
            self._handle(Request(0, SIGNAL, c.SaveCheckpoint(), f"signal {number}"))
        if self._interrupt.is_set() and self._recorder.state.activity is not e.Activity.STOPPING:
            actor, reason = self._interrupt.cause()
            self._handle(Request(id=0, actor=actor, command=c.Stop(reason)))
        while (request := self._requests.pop()) is not None:
            self._handle(request)

    def _handle(self, request: Request) -> None:
        if isinstance(request.command, c.Rollback):
            self._checkpointer.wait_for_checkpoints()  # the last good one must not depend on a thread's speed
        before = self._recorder.state
        outcome = decide(before, request.command, at_epoch=self._train_state.progress)
        if outcome.event is None:
            self._refuse(request, outcome)
            return
        match outcome.event:
            case e.CheckpointRequested() | e.ValidationRequested() as event if self._hand_over is not None:
                self._hand_over(self._handed(request, outcome, event))
            case e.CheckpointRequested():
                self._save(request, outcome)
            case e.ValidationRequested():
                self._validate(request, outcome)
            case e.HistogramRequested() as event:
                self._take_histogram(request, outcome, event)
            case e.RollbackRequested(checkpoint=name):
                self._roll_back(request, outcome, name)
            case event:
                carry_out(self._checkpointer, event)
                self._answer(request, outcome, event)
                follow_up(self._checkpointer, event, before)

    def _handed(
        self, request: Request, outcome: Outcome, event: e.CheckpointRequested | e.ValidationRequested
    ) -> HandedOver:
        return HandedOver(
            event,
            lambda done: self._answer(request, outcome, done),
            lambda reason: self._refuse(request, refused(reason)),
        )

    def _save(self, request: Request, outcome: Outcome) -> None:
        done = self._checkpointer.checkpoint_now("signal" if request.actor == SIGNAL else "asked")
        if isinstance(done, e.CheckpointSaved):
            self._answer(request, outcome, done)
        else:
            self._recorder.record_event(done)
            self._refuse(request, refused(f"the checkpoint could not be written: {done.error}"))

    def _validate(self, request: Request, outcome: Outcome) -> None:
        best = self._recorder.state.best_score
        self.is_validating = True
        try:
            done = self._checkpointer.validator.validate()
        except DataGoneError as error:
            self.is_validating = False
            self._refuse(request, refused(f"the data cannot be reached now: {error}"))
            return
        self.is_validating = False
        if done is None:
            self._refuse(request, refused("the run was stopped meanwhile"))
        else:
            self._answer(request, outcome, done)
            self._checkpointer.memory.note_validation(done, self._recorder.state.spec.score)
            self._checkpointer.keep_best(former=best)

    def _take_histogram(self, request: Request, outcome: Outcome, event: e.HistogramRequested) -> None:
        if not isinstance(self._train_state, TakesHistograms):
            self._refuse(request, refused("this run cannot look into its layers"))
        elif reason := self._train_state.request_histogram(event.layer):
            self._refuse(request, refused(reason))
        else:
            self._answer(request, outcome, event)

    def _roll_back(self, request: Request, outcome: Outcome, name: str) -> None:
        """Roll back to `name`. If it is damaged and was not named by the user, use the previous good checkpoint."""
        is_named = isinstance(request.command, c.Rollback) and request.command.checkpoint
        try:
            if is_named and request.actor != GUARDIAN:
                done = self._checkpointer.rollback(name)
            else:
                done = self._checkpointer.rollback_to_good(name)
        except (CheckpointDamagedError, NotSetAsideError) as error:
            self._refuse(request, refused(str(error)))
            return
        self._answer(request, outcome, done)
        self._checkpointer.settle_rollback()

    def _answer(self, request: Request, outcome: Outcome, event: Event) -> None:
        reason = "; ".join(said for said in (request.reason, outcome.reason) if said)
        outcome = replace(outcome, reason=reason)
        self._recorder.record_outcome(outcome, event, actor=request.actor, command_id=request.id or None)

    def _refuse(self, request: Request, outcome: Outcome) -> None:
        self._answer(request, outcome, refusal_of(request.command))
