"""Check whether the process that writes a journal is alive, and for how long."""

from __future__ import annotations

import time
from typing import Final

from cockpit.text.format import duration
from engine.journal.sessions import STALE_SECONDS, WriterSession

_CHECK_SECONDS: Final = 1.0

_LEFT: Final = "its process left without finishing the run"
_GONE: Final = "its process is gone without a word"


class Heartbeat:
    """Watches the newest session of a journal; `now` is the time of the caller's clock, in seconds."""

    def __init__(self, now: float) -> None:
        self.is_gone = False
        self._session: WriterSession | None = None
        self._began = now
        self._checked_at = self._due_at = now

    def observe(self, session: WriterSession | None, now: float) -> None:
        """Take the newest session that the journal has."""
        if session is not None and (self._session is None or session.id != self._session.id):
            self._began = now - max(0.0, time.time() - session.started)
            self._checked_at, self.is_gone = now - _CHECK_SECONDS, False
        self._session = session

    def is_of(self, session: WriterSession | None) -> bool:
        """Return whether `session` is the one that is watched, in any file."""
        watched = self._session
        return (
            watched is not None
            and session is not None
            and ((watched.id, watched.started, watched.pid) == (session.id, session.started, session.pid))
        )

    def due(self, now: float) -> bool:
        """Return True about once a second, for checks that are not needed at every poll."""
        if now < self._due_at:
            return False
        self._due_at = now + _CHECK_SECONDS
        return True

    def elapsed(self, now: float) -> float:
        """Return the seconds since the session began, or its length; before the first one, the seconds waited.

        The session of a process that is gone lasted until its last heartbeat.
        """
        session = self._session
        if session is not None and (session.ended is not None or self.is_gone):
            return (session.heartbeat if session.ended is None else session.ended) - session.started
        return now - self._began

    def has_left(self) -> bool:
        """Return whether the writer's process has ended; `False` for a silent one, which may continue."""
        return self._session is not None and (self._session.ended is not None or not self._session.process_exists())

    def abandonment(self) -> str:
        """Return how the writer's process left; empty string if it exists, or before the first one."""
        if self._session is None:
            return ""
        if self._session.ended is not None:
            return _LEFT
        return "" if self._session.process_exists() else _GONE

    def age(self) -> float | None:
        """Return the seconds since the last heartbeat; `None` if none is expected."""
        return None if self._session is None or self._session.ended is not None else self._session.age

    def complaint(self, now: float) -> str:
        """Return why the run does not continue although it did not finish; empty string if its process is alive."""
        if self._session is None:
            return ""
        if self._session.ended is not None:
            return _LEFT
        if now - self._checked_at >= _CHECK_SECONDS:
            self._checked_at, self.is_gone = now, not self._session.process_exists()
        if self.is_gone:
            return _GONE
        if self._session.age >= STALE_SECONDS:
            return f"its process has been silent for {duration(self._session.age)}"
        return ""
