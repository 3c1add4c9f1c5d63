"""The part of a journal that a report leaves out, as it was written before or shown already."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.protocol.state import RunState


class PastEntries:
    """The part of the journal that is not shown: it was written before this process began, or was shown already."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._last_id = self._read_to = 0
        self._last_time = self._read_time = -math.inf
        self._state = ""

    def remember(self) -> None:
        """Note the last event and state of an earlier process, if there is a journal."""
        with suppress(UserError), closing(JournalReader(self._run_dir, at_rest=True)) as reader:
            self._last_id = reader.newest_ids().event
            self._state = repr(reader.state())

    def is_over(self, state: RunState, entries: Sequence[Entry]) -> bool:
        """Return whether this process has recorded an event or a state."""
        if self._state and (entries or repr(state) != self._state):
            self._state = ""
        return not self._state

    def fresh(self, found: Sequence[Entry]) -> Sequence[Entry]:
        """Return the entries that are neither past nor shown, out of those that were read next.

        A journal that was written again from memory gives events other numbers: then their times decide.
        """
        if found[0].id <= self._read_to:
            self._last_id, self._last_time = 0, self._read_time
        self._read_to, self._read_time = found[-1].id, found[-1].time
        return [entry for entry in found if entry.id > self._last_id and entry.time > self._last_time]
