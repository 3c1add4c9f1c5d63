"""The inbox of an attached run: read by the cockpit's thread, emptied by the training's."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from engine.journal.inbox import Inbox
from engine.protocol.commands import Request


class WatchedInbox:
    """Reads commands in one thread and hands them over in another. SQLite binds a connection to its thread."""

    def __init__(self, path: Path) -> None:
        with_stale = Inbox(path)
        self._stale = with_stale.stale()
        with_stale.close()
        self._path = path
        self._inbox: Inbox | None = None
        self._waiting: deque[Request] = deque()

    def fetch(self) -> bool:
        """Read new commands, always in the same thread. Return whether one is waiting."""
        if self._inbox is None:
            self._inbox = Inbox(self._path)
        self._waiting.extend(self._inbox.poll())
        return bool(self._waiting)

    def poll(self) -> Sequence[Request]:
        """Return the commands read so far, oldest first."""
        return [self._waiting.popleft() for _ in range(len(self._waiting))]

    def stale(self) -> Sequence[Request]:
        """Return the commands that a dead process left unanswered."""
        return self._stale

    def close(self) -> None:
        """Close the connection, in the thread that reads."""
        if self._inbox is not None:
            self._inbox.close()
