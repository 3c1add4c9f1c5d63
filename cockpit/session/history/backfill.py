"""What an old journal holds before the rows that are on the screen first: read newest first, a chunk at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from threading import Event as Signal
from threading import Thread
from typing import Final

from cockpit.session.history.history import History
from engine.errors import UserError
from engine.journal.series import Rows
from engine.journal.tail import JournalTail, Lineage, PointTable, StepRange

ROWS_PER_CHUNK: Final = 10_000
_HEAD_START: Final = 0.2
"""Seconds that the newest rows are ahead: the first picture is drawn from them, and needs the processor meanwhile."""

_MOST_ROOM: Final = 20_000_000
"""Slots set aside without counting the rows first; memory that is never filled costs nothing."""


class PendingRows:
    """The rows of one table along a lineage that were not read yet."""

    def __init__(self, tail: JournalTail, kind: PointTable, lineage: Lineage) -> None:
        spans = [StepRange(kind, branch, -(2**62), 2**62 if last is None else last) for branch, last in lineage]
        self.kind: PointTable = kind
        self._spans = [replace(span, first=at) for span in spans if (at := tail.oldest_step(span)) is not None]
        self._oldest = min((span.first for span in self._spans), default=0)
        self._newest: int | None = None
        self._reached: int | None = None

    @property
    def done(self) -> bool:
        """Whether all rows were read."""
        return not self._spans

    @property
    def share(self) -> float:
        """Share of the steps that was read, 0..1."""
        if self.done or self._newest is None or self._reached is None:
            return float(self.done)
        return (self._newest - self._reached) / max(self._newest - self._oldest, 1)

    def room(self, tail: JournalTail) -> int:
        """Upper bound on the number of rows."""
        newest = tail.mark(self.kind)
        top = 0 if newest is None else max(newest[1], *(span.last for span in self._spans if span.last < 2**62), 0)
        bound = sum(min(span.last, top) - span.first + 1 for span in self._spans)
        return bound if bound <= _MOST_ROOM else sum(tail.count(span) for span in self._spans)

    def chunk(self, tail: JournalTail, limit: int) -> Rows | None:
        """Return the newest `limit` rows that were not read yet; `None` after the last."""
        while self._spans:
            rows = tail.rows(self._spans[-1], limit=limit, newest=True)
            if rows.size < limit:
                self._spans.pop()
            if rows.size:
                self._reached = int(rows.steps[0])
                self._newest = int(rows.steps[-1]) if self._newest is None else self._newest
                self._narrow(self._reached - 1)
                return rows
        return None

    def _narrow(self, last: int) -> None:
        """Exclude rows after `last`: rows that were read supersede them."""
        narrowed = (replace(span, last=min(span.last, last)) for span in self._spans)
        self._spans = [span for span in narrowed if span.first <= span.last]


class Backfill:
    """Reads backlogs into a history on a thread and a connection of its own."""

    def __init__(self, history: History, backlogs: list[PendingRows], open_tail: Callable[[], JournalTail]) -> None:
        self._history = history
        self._backlogs = backlogs
        self._open_tail = open_tail
        self._stopped = Signal()
        self.failure = ""
        self._thread = Thread(target=self._work, name="history-reader", daemon=True)
        self._thread.start()

    def is_running(self) -> bool:
        """Older rows are still arriving."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Read no more; returns when the thread has ended."""
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        if self._stopped.wait(_HEAD_START):
            return
        try:
            with closing(self._open_tail()) as tail:
                self._read(tail)
        except UserError as error:
            self.failure = str(error)

    def _read(self, tail: JournalTail) -> None:
        for backlog in self._backlogs:
            while not backlog.done and not self._stopped.is_set():
                self._read_chunk(backlog, tail)
        if not self._stopped.is_set():
            self._history.loading = 1.0

    def _read_chunk(self, backlog: PendingRows, tail: JournalTail) -> None:
        with tail.snapshot():
            rows = backlog.chunk(tail, ROWS_PER_CHUNK)
        if rows is not None:
            share = min(backlog.share for backlog in self._backlogs)
            self._history.prepend(backlog.kind, rows, loading=share)
