"""Follow a run from a program: every new event or row once, until the run ends, time is up or the pipe is closed."""

from __future__ import annotations

import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

from cockpit.session.history.loader import RowLoader
from cockpit.session.history.row_feed import MetricRow, RowFeed
from cockpit.session.session import Session
from engine.errors import UserError
from engine.journal.disk.run_dir import running_process
from engine.journal.reader import Entry

T = TypeVar("T")

TIMED_OUT: Final = 3
"""Exit code of a command that ended before the run, because of its timeout."""

_SECONDS_BETWEEN_LOOKS: Final = 0.25
_PATIENCE: Final = 2.0
"""Seconds for which a journal that no process writes may be unreadable, as while it is being restored."""


class FollowTimeout(Exception):
    """Raised after so many seconds without news."""


class FollowedRun(Session):
    """A run whose rows of metrics are handed out once, from the newest `newest` steps on; all for `None`.

    Rows of single layers are among them with `has_layers`.
    """

    def __init__(self, run_dir: Path, *, newest: int | None = None, has_layers: bool = False) -> None:
        self._newest, self._has_layers = newest, has_layers
        super().__init__(run_dir, can_steer=False, recent_only=True)

    def _new_loader(self) -> RowLoader:
        self._rows = RowFeed(self._newest, layers=self._has_layers)
        return self._rows

    def take_rows(self) -> list[MetricRow]:
        """Return every row since the last call."""
        rows: list[MetricRow] = []
        is_more = True
        while is_more:
            is_more = bool(self.poll().entries) or self._rows.behind
            rows += self._rows.take()
        return rows


def poll_entries(session: Session) -> list[Entry]:
    """Return every event since the last look; one look reads a bounded number of them."""
    entries: list[Entry] = []
    while found := session.poll().entries:
        entries += found
    return entries


def follow(session: Session, take: Callable[[], list[T]], idle_timeout: float | None = None) -> Iterator[list[T]]:
    """Yield what `take` returns at every look, an empty list too, until the writer's process has ended.

    Raises FollowTimeout after `idle_timeout` seconds without news, BrokenPipeError if nothing reads the output.
    Raises UserError for a journal that cannot be read and that no process will mend.
    """
    heard = was_readable = time.monotonic()
    is_over = False
    while True:
        news, now = take(), time.monotonic()
        heard = now if news else heard
        was_readable = was_readable if session.troubles.detail else now
        yield news
        is_left = now - was_readable >= _PATIENCE and not running_process(session.run_dir)
        if session.troubles.detail and (is_over or is_left):
            raise UserError(session.troubles.detail)
        if is_over:
            return
        if idle_timeout is not None and time.monotonic() - heard >= idle_timeout:
            raise FollowTimeout
        _check_pipe()
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        is_over = session.writer_has_left  # before the look, so that the last news are among it


def _check_pipe() -> None:
    """Raise BrokenPipeError if the output is a pipe that was closed, which a quiet run would not find by printing."""
    try:
        number = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):
        return  # none, or not a file
    poll = select.poll()
    poll.register(number, 0)
    if any(event & select.POLLERR for _, event in poll.poll(0)):
        raise BrokenPipeError
