"""The journal of a run of a trainer, by the directory of a test."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.journal.reader import Entry, JournalReader
from engine.journal.series import Series
from engine.protocol.state import RunState
from tests.adapters import own_loop


class TrainerJournal:
    """Reads the run `name` in the directory `runs` of a test, and closes its journal each time."""

    def __init__(self, name: str) -> None:
        self._name = name

    def opened(self, tmp_path: Path) -> closing[JournalReader]:
        """Open the journal for a block."""
        return closing(JournalReader(tmp_path / "runs" / self._name))

    def series_of(self, tmp_path: Path, names: Sequence[str]) -> Series:
        with self.opened(tmp_path) as reader:
            return reader.series(names)

    def entries_of(self, tmp_path: Path, kinds: Sequence[str] | None = None) -> Sequence[Entry]:
        with self.opened(tmp_path) as reader:
            return reader.events(kinds=kinds)

    def state_of(self, tmp_path: Path) -> RunState:
        return own_loop.state_of(tmp_path / "runs" / self._name)

    def events_of(self, tmp_path: Path, kind: type[Any]) -> list[Any]:
        return own_loop.events(tmp_path / "runs" / self._name, kind)
