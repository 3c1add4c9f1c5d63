"""Filter of events by kind and by words, fast enough for a hundred thousand of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from cockpit.text.event_info import Severity
from cockpit.text.event_text import sentence, severity
from cockpit.text.format import escape_control
from engine.journal.reader import Entry
from engine.protocol.task_spec import NO_SPEC, TaskSpec

KINDS: Final = ("all", "interventions", "alerts", "results")
"""The kinds to list: all events except silent ones, or those of one severity."""

_SEVERITIES: Final = {
    "interventions": Severity.INTERVENTION,
    "alerts": Severity.ALERT,
    "results": Severity.RESULT,
}
_BUDGET: Final = 0.006
"""Seconds per turn, so that keys and charts are handled in between."""


def searched_text(entry: Entry, spec: TaskSpec) -> str:
    """Return the text that a search compares, in lower case."""
    actor, reason = escape_control(entry.actor), escape_control(entry.reason)
    return f"step {entry.step} {actor} {entry.status} {sentence(entry.event, spec)} {reason}".lower()


class EventsFilter:
    """Finds the matching entries, the newest first, for a few milliseconds at a time."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.kind = "all"
        self.words: tuple[str, ...] = ()
        self.found: deque[Entry] = deque()
        """The entries found so far, oldest first."""
        self._clock = clock
        self._entries: Sequence[Entry] = ()
        self._spec = NO_SPEC
        self._next_older = 0
        self._next_newer = 0

    @property
    def is_done(self) -> bool:
        """Return whether all entries were searched."""
        return self._next_older == 0 and self._next_newer == len(self._entries)

    @property
    def total(self) -> int:
        """Return the number of all entries."""
        return len(self._entries)

    def look_for(self, kind: str, text: str) -> None:
        """Search for one of `KINDS` and each word of `text`, from the start."""
        self.kind, self.words = kind, tuple(text.lower().split())
        self.found = deque()
        self._next_older = self._next_newer = len(self._entries)

    def watch(self, entries: Sequence[Entry], spec: TaskSpec) -> None:
        """Search `entries`, the former ones and newer ones behind them, of a run of the task `spec`."""
        self._spec = spec
        another = self._entries[:1] != entries[:1] or len(entries) < len(self._entries)
        self._entries = entries
        if another:
            self.look_for(self.kind, " ".join(self.words))

    def search(self) -> int:
        """Search new entries, then older ones, for a few milliseconds; return how many lines were added on top."""
        until = self._clock() + _BUDGET
        while self._next_newer < len(self._entries) and self._clock() < until:
            entry = self._entries[self._next_newer]
            self._next_newer += 1
            if self._is_wanted(entry):
                self.found.append(entry)
        older = 0
        while self._next_older > 0 and self._clock() < until:
            self._next_older -= 1
            entry = self._entries[self._next_older]
            if self._is_wanted(entry):
                self.found.appendleft(entry)
                older += 1
        return older

    def _is_wanted(self, entry: Entry) -> bool:
        matter = severity(entry)
        if matter is Severity.SILENT or (self.kind in _SEVERITIES and matter is not _SEVERITIES[self.kind]):
            return False
        if not self.words:
            return True
        text = searched_text(entry, self._spec)
        return all(word in text for word in self.words)
