"""Keep a history in step with a journal: the newest rows first, then new rows at every look, along the lineage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from cockpit.session.history.backfill import Backfill, PendingRows
from cockpit.session.history.history import History
from engine.journal.series import Rows
from engine.journal.tail import JournalTail, Lineage, Mark, PointTable, StepRange

FIRST_ROWS: Final = 5_000
"""Rows of each kind that are read before the first look returns: the newest ones."""

ROWS_PER_LOOK: Final = 5_000

RECENT_ROWS: Final = 2_000
"""With `recent_only`, the training steps in memory are dropped at this number."""

_KINDS: Final[tuple[PointTable, ...]] = ("steps", "validations")


@dataclass(slots=True)
class _Position:
    """How far one table was read: its newest row then, and the branch that is read."""

    mark: Mark | None
    branch: int
    behind: bool = False


class RowLoader(Protocol):
    """Reads the journal's rows of metrics."""

    @property
    def behind(self) -> bool:
        """Whether the last look left rows unread, so that another is due without a change of the journal."""
        ...

    @property
    def failure(self) -> str:
        """Reason for missing old rows; an empty string if none are missing."""
        ...

    def look(self, tail: JournalTail) -> bool:
        """Read new rows inside a snapshot of `tail`; return whether rows that were read are superseded now."""
        ...

    def close(self) -> None:
        """Stop reading."""
        ...


class HistoryLoader:
    """Reads metric rows into `history`; `open_tail` opens a second connection for the thread that reads old rows.

    With `recent_only` the history holds the newest training step and few before it, and every validation. Memory and
    time do not depend on the length of the run.
    """

    def __init__(self, history: History, open_tail: Callable[[], JournalTail], *, recent_only: bool = False) -> None:
        self._history = history
        self._recent_only = recent_only
        self._open_tail = open_tail
        self._lineage: Lineage = ()
        self._positions: dict[PointTable, _Position] = {}
        self._backfill: Backfill | None = None

    @property
    def behind(self) -> bool:
        """Return whether the last look left rows unread, so that another is due without a change of the journal."""
        return any(position.behind for position in self._positions.values())

    @property
    def failure(self) -> str:
        """Return the reason for missing old rows, an empty string if none are missing."""
        return "" if self._backfill is None else self._backfill.failure

    def look(self, tail: JournalTail) -> bool:
        """Read new rows inside a snapshot of `tail`; return whether rows in memory were superseded."""
        lineage = tail.lineage()
        rewound = bool(self._lineage) and lineage != self._lineage
        if not self._lineage or (rewound and (self._recent_only or self._is_filling())):
            self._begin(tail, lineage)
        elif rewound:
            self._history.cut(_last_that_counts(lineage, self._lineage[-1][0]))
        self._lineage = lineage
        for kind, position in self._positions.items():
            self._advance(tail, kind, position)
        return rewound

    def close(self) -> None:
        """Stop the thread that reads old rows."""
        if self._backfill is not None:
            self._backfill.stop()

    def _is_filling(self) -> bool:
        return self._backfill is not None and self._backfill.is_running()

    def _begin(self, tail: JournalTail, lineage: Lineage) -> None:
        """Empty the history and read the newest rows; a thread reads the others."""
        self.close()
        backlogs = [PendingRows(tail, kind, lineage) for kind in _KINDS]
        recent = [backlog for backlog in backlogs if self._keeps_recent(backlog.kind)]
        self._history.clear(
            room_before={backlog.kind: 1 if backlog in recent else backlog.room(tail) for backlog in backlogs}
        )
        for backlog in backlogs:
            self._positions[backlog.kind] = _Position(tail.mark(backlog.kind), lineage[-1][0])
            left = 1 if backlog in recent else FIRST_ROWS
            while left > 0 and (rows := backlog.chunk(tail, left)) is not None:
                self._history.prepend(backlog.kind, rows, loading=0.0)
                left -= rows.size
        backlogs = [backlog for backlog in backlogs if backlog not in recent]
        self._history.loading = min(backlog.share for backlog in backlogs)
        waiting = [backlog for backlog in backlogs if not backlog.done]
        self._backfill = Backfill(self._history, waiting, self._open_tail) if waiting else None

    def _keeps_recent(self, kind: PointTable) -> bool:
        """Return whether old rows of that kind are left out."""
        return self._recent_only and kind == "steps"

    def _advance(self, tail: JournalTail, kind: PointTable, position: _Position) -> None:
        """Read a bounded number of rows of one table after those in memory."""
        mark, newest_branch = tail.mark(kind), self._lineage[-1][0]
        if mark == position.mark and position.branch == newest_branch and not position.behind:
            return
        left = ROWS_PER_LOOK
        for branch, last in self._lineage:
            if branch < position.branch or left == 0:
                continue
            position.branch = branch
            held = self._history.last(kind)
            span = StepRange(kind, branch, -(2**62) if held is None else held, 2**62 if last is None else last)
            rows = tail.rows(span, limit=left)
            self._append(kind, rows)
            left -= rows.size
        position.mark, position.behind = mark, left == 0

    def _append(self, kind: PointTable, rows: Rows) -> None:
        """Append rows, without those before them if they are too many to keep."""
        if rows.size and self._keeps_recent(kind) and self._history.size(kind) >= RECENT_ROWS:
            self._history.drop(kind)
        self._history.append(kind, rows)


def _last_that_counts(lineage: Lineage, branch: int) -> int:
    """Return the last step of `branch` that counts in `lineage`."""
    last = dict(lineage).get(branch)
    return 2**62 if last is None else last
