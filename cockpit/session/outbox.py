"""Commands on their way: sent without keeping the screen waiting, pending until the engine's answer arrives."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.journal.reader import Entry
from engine.journal.sender import Sender
from engine.protocol import wire
from engine.protocol.commands import Command
from engine.protocol.events import Status

BUSY_SECONDS: Final = 0.004
"""How long a key may wait for the journal; after that the command goes with the next poll."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A command that was sent and not answered yet; `sent_at` by the session's clock, in seconds.

    `id` is its number in the journal, or a negative one of its own until the journal has taken it.
    """

    id: int
    command: Command
    sent_at: float


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """How a command of this screen ended: the entry carries the status and the reason.

    An entry with the number 0 is not in the journal: nobody was left to write it.
    """

    pending: Pending
    entry: Entry


class Outbox:
    """Sends to the run in `run_dir` in the name of `actor`."""

    def __init__(self, run_dir: Path, actor: str) -> None:
        self.pending: tuple[Pending, ...] = ()
        self._run_dir = run_dir
        self._actor = actor
        self._sender: Sender | None = None
        self._last_own = 0

    def send(self, command: Command, now: float) -> None:
        """Put `command` into the mailbox, or keep it for the next try where the journal is busy.

        Raises UserError when no living run would read it.
        """
        waiting = any(pending.id < 0 for pending in self.pending)
        number = None if waiting else self._try(command)
        if number is None:
            self._last_own -= 1
            number = self._last_own
        self.pending = (*self.pending, Pending(number, command, now))

    def retry(self) -> tuple[CommandOutcome, ...]:
        """Send what is waiting, in order; the answers are refusals of what can never be sent."""
        answers: list[CommandOutcome] = []
        for pending in self.pending:
            if pending.id > 0:
                continue
            try:
                number = self._try(pending.command)
            except UserError as error:
                answers.append(self._refused(pending, str(error)))
                continue
            if number is None:
                break
            self._replace(pending, replace(pending, id=number))
        return tuple(answers)

    def match(self, entries: Iterable[Entry]) -> tuple[CommandOutcome, ...]:
        """The answers among new entries."""
        open_ones = {pending.id: pending for pending in self.pending}
        answers: list[CommandOutcome] = []
        for entry in entries:
            pending = open_ones.get(entry.command_id or 0)
            if pending is not None and entry.status is not Status.NOTED:
                answers.append(CommandOutcome(pending, entry))
                self._replace(pending, None)
                del open_ones[pending.id]
        return tuple(answers)

    def abandon(self, reason: str) -> tuple[CommandOutcome, ...]:
        """Nobody will answer any more."""
        return tuple(self._refused(pending, reason) for pending in self.pending)

    def close(self) -> None:
        """Give the journal back; a later `send` opens it again."""
        if self._sender is not None:
            self._sender.close()
            self._sender = None

    def _try(self, command: Command) -> int | None:
        if self._sender is not None and self._sender.is_replaced():
            self.close()
        if self._sender is None:
            self._sender = Sender(self._run_dir, busy_seconds=BUSY_SECONDS)
        return self._sender.send(command, self._actor)

    def _refused(self, pending: Pending, reason: str) -> CommandOutcome:
        self._replace(pending, None)
        event = wire.refusal_of(pending.command)
        entry = Entry(0, time.time(), 0, 0, self._actor, pending.id, Status.REFUSED, reason, event)
        return CommandOutcome(pending, entry)

    def _replace(self, pending: Pending, by: Pending | None) -> None:
        changed = (by if held is pending else held for held in self.pending)
        self.pending = tuple(held for held in changed if held is not None)
