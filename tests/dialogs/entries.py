"""Journal entries for tests, numbered as a journal numbers them."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.journal.reader import Entry
from engine.protocol.events import Event, Status


@dataclass
class Ledger:
    """Entries in the order they are written; a command's number is 100 more than its entry's."""

    entries: list[Entry] = field(default_factory=list)

    def write(
        self,
        event: Event,
        *,
        actor: str = "cockpit",
        status: Status = Status.APPLIED,
        step: int = 10,
        answers: bool = True,
    ) -> Entry:
        """One more entry, answering a command unless told otherwise."""
        number = len(self.entries) + 1
        entry = Entry(number, 1000.0 + number, 1, step, actor, 100 + number if answers else None, status, "", event)
        self.entries.append(entry)
        return entry
