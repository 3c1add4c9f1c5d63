"""Send commands without blocking the screen, unless they would be refused, and match the engine's answers."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from cockpit.session.projection import Projection
from cockpit.text.next_steps import End
from engine.errors import UserError
from engine.journal.reader import Entry
from engine.journal.sender import Sender
from engine.protocol import wire
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome, can_accept_commands, refused
from engine.protocol.events import Status
from engine.protocol.record import record
from engine.protocol.state import RunState

BUSY_SECONDS: Final = 0.004
"""Seconds that a key may wait for the journal; after that the command is sent by the next poll."""


@record
class Pending:
    """A command that was sent and is not answered yet; `sent_at` is in seconds of the session's clock.

    `id` is its number in the journal, or a negative number until it is in the journal.
    """

    id: int
    command: Command
    sent_at: float


@record
class CommandOutcome:
    """The engine's answer to a command of this screen: the entry has the status and the reason.

    An entry with the id 0 is not in the journal: no process was left to write it.
    """

    pending: Pending
    entry: Entry


class Outbox(ABC):
    """Commands of one screen to the run in `run_dir`, sent in the name of `actor`.

    Outcomes are predicted on the newest state of the run, once per state. `pending` are the commands that have no
    outcome yet, oldest first; `clock` gives the time at which they were sent.
    """

    state: RunState | None

    def __init__(self, run_dir: Path, *, actor: str, can_steer: bool, clock: Callable[[], float]) -> None:
        self.run_dir = run_dir
        self.can_steer = can_steer
        self.pending: tuple[Pending, ...] = ()
        self._clock = clock
        self.actor = actor
        self._sender: Sender | None = None
        self._last_own = 0
        self._now: Projection | None = None

    @property
    @abstractmethod
    def end(self) -> End | None:
        """End of the run; `None` while it continues."""

    @property
    def now(self) -> Projection:
        """Newest state, with outcomes of commands on it. Raises AssertionError before the first state."""
        assert self.state is not None
        if self._now is None or self._now.state is not self.state:
            self._now = Projection(self.state)
        return self._now

    @property
    def soon(self) -> Projection:
        """State after the pending commands, with outcomes. Raises AssertionError before the first state."""
        return self.now.after(pending.command for pending in self.pending)

    @property
    def refusal(self) -> str:
        """Reason why no command can be sent: a read-only screen, or a run that has not begun, is stopping or is over.

        Empty string if commands can be sent.
        """
        if not self.can_steer:
            return "this screen is read-only"
        if self.state is None:
            return "the run has not recorded a state yet"
        if (end := self.end) is not None:
            return f"the run has {end.word}" if end.word == "failed" else f"the run is {end.word}"
        return can_accept_commands(self.state)

    def decide(self, command: Command) -> Outcome:
        """Return the outcome of `command` on the newest state, refused while `refusal` gives a reason."""
        return refused(reason) if (reason := self.refusal) else self.now.outcome_of(command)

    def send(self, command: Command) -> Outcome:
        """Write `command` to the journal's inbox, unless its outcome is a refusal. If the journal is busy, the next
        poll tries again.

        Return the outcome that `decide` predicts, or a refusal if no running process would read the command.
        """
        outcome = self.decide(command)
        if outcome.status is Status.REFUSED:
            return outcome
        try:
            number = None if self._kept() else self._try(command)
        except UserError as error:
            return refused(str(error))
        if number is None:
            self._last_own -= 1
            number = self._last_own
        self.pending = (*self.pending, Pending(number, command, self._clock()))
        return outcome

    def _kept(self) -> list[Pending]:
        """Return the commands that the journal was too busy for, in order: their numbers are below 0."""
        return [pending for pending in self.pending if pending.id < 0]

    def _retry(self) -> tuple[CommandOutcome, ...]:
        """Send what was kept, in order; return refusals of what can never be sent."""
        answers: list[CommandOutcome] = []
        for pending in self._kept():
            try:
                number = self._try(pending.command)
            except UserError as error:
                answers.append(self._refused(pending, str(error)))
                continue
            if number is None:
                break
            self._replace(pending, replace(pending, id=number))
        return tuple(answers)

    def _match(self, entries: Iterable[Entry]) -> tuple[CommandOutcome, ...]:
        """Return the answers among new entries."""
        open_ones = {pending.id: pending for pending in self.pending}
        answers: list[CommandOutcome] = []
        for entry in entries:
            pending = open_ones.get(entry.command_id or 0)
            if pending is not None and entry.status is not Status.NOTED:
                answers.append(CommandOutcome(pending, entry))
                self._replace(pending, None)
                del open_ones[pending.id]
        return tuple(answers)

    def _abandon(self, reason: str) -> tuple[CommandOutcome, ...]:
        """Refuse all pending commands: no process will answer any more."""
        return tuple(self._refused(pending, reason) for pending in self.pending)

    def _close_sender(self) -> None:
        """Close the connection that sends; a later `send` opens another."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _try(self, command: Command) -> int | None:
        if self._sender is not None and self._sender.is_replaced():
            self._close_sender()
        if self._sender is None:
            self._sender = Sender(self.run_dir, busy_seconds=BUSY_SECONDS)
        return self._sender.send(command, self.actor)

    def _refused(self, pending: Pending, reason: str) -> CommandOutcome:
        self._replace(pending, None)
        event = wire.refusal_of(pending.command)
        entry = Entry(0, time.time(), 0, 0, self.actor, pending.id, Status.REFUSED, reason, event)
        return CommandOutcome(pending, entry)

    def _replace(self, pending: Pending, by: Pending | None) -> None:
        changed = (by if held is pending else held for held in self.pending)
        self.pending = tuple(held for held in changed if held is not None)
