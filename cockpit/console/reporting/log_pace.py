"""When a log gets a line of progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.state import RunState

PLAIN_SECONDS: Final = 10.0
"""Seconds between two lines of progress in a log; while nothing changes, the time doubles from line to line."""


class LogPace:
    """Decides when a log gets a line of progress: every ten seconds, less often while nothing changes."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._shown = (-1, "")
        self._gap = PLAIN_SECONDS

    def is_due(self, state: RunState, entries: Sequence[Entry], now: float) -> bool:
        """Return whether to print the progress now."""
        where = (state.step, state.activity.value)
        ends_epoch = any(isinstance(entry.event, e.EpochCompleted) for entry in entries)
        if self._last is None:
            self._last = now
        if not ends_epoch and now - self._last < self._gap:
            return False
        self._gap = PLAIN_SECONDS if where != self._shown else min(2 * self._gap, 600.0)
        self._last, self._shown = now, where
        return True
