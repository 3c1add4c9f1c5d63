"""The inbox of an attached run: read by the cockpit's thread, emptied by the training's."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from engine.journal.inbox import Inbox
from engine.journal.store import SIDE_FILES, journal_file
from engine.protocol.commands import Request, Stop

_MOST_PASSED: Final = 5
"""A log that seems unchanged is read at every such look: two changes may have the same time."""


class WatchedInbox:
    """Reads commands in one thread and hands them over in another. SQLite binds a connection to its thread."""

    def __init__(self, path: Path) -> None:
        with_stale = Inbox(path)
        self._stale = with_stale.stale()
        with_stale.close()
        self._path = path
        self._inbox: Inbox | None = None
        self._waiting: deque[Request] = deque()
        self._log = str(journal_file(path)) + SIDE_FILES[0]
        self._seen: tuple[int, int] | None = None
        self._num_passed = 0

    def fetch(self) -> bool:
        """Read new commands, always in the same thread. Return whether one is waiting."""
        if self._inbox is None:
            self._inbox = Inbox(self._path)
        if self._may_have_new():
            self._waiting.extend(self._inbox.poll())
        return bool(self._waiting)

    def _may_have_new(self) -> bool:
        """Return whether SQLite's log has changed, which costs less than a query; sometimes True without it."""
        try:
            status = os.stat(self._log)
        except OSError:
            return True
        former, self._seen = self._seen, (status.st_mtime_ns, status.st_size)
        self._num_passed = 0 if self._seen != former else (self._num_passed + 1) % _MOST_PASSED
        return self._num_passed == 0

    def poll(self) -> Sequence[Request]:
        """Return the commands read so far, oldest first."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    @property
    def is_stop_waiting(self) -> bool:
        """Whether a stop was read that no boundary has carried out yet. Any thread may ask."""
        return any(isinstance(request.command, Stop) for request in self._waiting.copy())

    def stale(self) -> Sequence[Request]:
        """Return the commands that a dead process left unanswered."""
        return self._stale

    def close(self) -> None:
        """Close the connection, in the thread that reads."""
        if self._inbox is not None:
            self._inbox.close()
