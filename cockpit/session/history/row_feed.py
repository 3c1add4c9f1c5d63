"""Each row of metrics exactly once, in the order of steps, along the lineage that counts: for programs that follow."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.session.history.backfill import PendingRows
from engine.journal.series import Rows
from engine.journal.tail import JournalTail, Lineage, Mark, PointTable, StepRange
from engine.protocol.record import record

ROWS_PER_READ: Final = 5_000
"""Rows of each kind that one look reads."""

_END: Final = 2**62
"""A step after every other."""


@record
class MetricRow:
    """The recorded metrics of one training step or validation, as float32, in their order."""

    kind: PointTable
    step: int
    names: tuple[str, ...]
    values_K: NDArray[np.float32]


@dataclass(slots=True)
class _Read:
    """The branch and the step of the last row of one kind that was read, and the table's newest row then."""

    kind: PointTable
    branch: int = -1
    step: int = -_END
    mark: Mark | None = None
    behind: bool = False


class RowFeed:
    """Reads new rows at every look; `take` returns them once. Memory does not depend on the length of the run.

    It begins with the newest `newest` steps and the validations since then; with all rows if `newest` is `None`. Rows
    of a new branch follow those that they supersede. A second validation at one step is a row of its own. Rows of
    layers are left out without `layers`.
    """

    def __init__(self, newest: int | None = None, *, layers: bool = False) -> None:
        self._newest = newest
        self._layers = _Read("layers") if layers else None
        self._fresh: deque[MetricRow] = deque()
        self._steps, self._validations = _Read("steps"), _Read("validations")
        self._lineage: Lineage = ()

    @property
    def behind(self) -> bool:
        """Whether the last look left rows unread."""
        return self._steps.behind or self._validations.behind or (self._layers is not None and self._layers.behind)

    @property
    def failure(self) -> str:
        """Reason for missing rows: an empty string, for none are."""
        return ""

    def look(self, tail: JournalTail) -> bool:
        """Read new rows inside a snapshot of `tail`; return whether rows that were read are superseded now."""
        lineage = tail.lineage()
        rewound = bool(self._lineage) and lineage != self._lineage
        if not self._lineage and self._newest is not None:
            self._begin(tail, lineage, self._newest)
        self._lineage = lineage
        steps = list(_read(tail, self._steps, lineage, _END))
        last = steps[-1].step if self._steps.behind else _END
        validations = list(_read(tail, self._validations, lineage, last))
        if self._layers is not None and tail.has_layers():
            steps = list(_merged(steps, list(_read(tail, self._layers, lineage, last))))
        self._fresh.extend(_merged(steps, validations))
        return rewound

    def take(self) -> list[MetricRow]:
        """Return the rows since the last call, a step before the validation after it."""
        rows = list(self._fresh)
        self._fresh.clear()
        return rows

    def close(self) -> None:
        """Do nothing: no thread reads old rows."""

    def _begin(self, tail: JournalTail, lineage: Lineage, newest: int) -> None:
        """Go to the place from which the newest steps are read."""
        backlog, left, first = PendingRows(tail, "steps", lineage), newest, _END
        while left > 0 and (rows := backlog.chunk(tail, left)) is not None:
            first, left = int(rows.steps[0]), left - rows.size
        if left > 0 and newest > 0:
            return  # there are fewer
        layers = (self._layers,) if self._layers is not None and tail.has_layers() else ()
        for read in (self._steps, self._validations, *layers):
            mark = tail.mark(read.kind)
            if mark is None:
                continue
            read.branch, read.step = mark[:2]
            if first <= mark[1]:
                read.branch, read.step = _branch_of(lineage, first), first - 1
            else:
                read.mark = mark


def _read(tail: JournalTail, read: _Read, lineage: Lineage, last: int) -> Iterator[MetricRow]:
    """Yield the next rows of one kind up to step `last`; later ones remain for the next look."""
    mark, newest_branch = tail.mark(read.kind), lineage[-1][0]
    if mark == read.mark and not read.behind and read.branch >= newest_branch:
        return
    is_same_row = mark is not None and read.mark is not None and mark[:2] == read.mark[:2] == (read.branch, read.step)
    left = ROWS_PER_READ
    for branch, end in lineage:
        if branch < read.branch or left == 0:
            continue
        following = read.step if is_same_row and mark != read.mark else read.step + 1
        first = following if branch == read.branch else -_END
        span = StepRange(read.kind, branch, first, min(last, _END if end is None else end))
        rows = tail.rows(span, limit=left) if span.first <= span.last else None
        if rows is not None and rows.size:
            yield from _unpacked(read.kind, rows)
            read.branch, read.step = branch, int(rows.steps[-1])
            left -= rows.size
    read.mark, read.behind = mark if last == _END else None, left == 0


def _branch_of(lineage: Lineage, step: int) -> int:
    """Return the branch of the lineage that has `step`."""
    return next(branch for branch, last in lineage if last is None or step <= last)


def _unpacked(kind: PointTable, rows: Rows) -> Iterator[MetricRow]:
    found: dict[int, MetricRow] = {}
    for part in rows.parts:
        for at, values_K in zip(part.at.tolist(), part.values_NK, strict=True):
            found[at] = MetricRow(kind, int(rows.steps[at]), part.names, values_K)
    for at in sorted(found):
        yield found[at]


def _merged(steps: list[MetricRow], validations: list[MetricRow]) -> Iterator[MetricRow]:
    """Yield both in their order; steps that go back begin a branch, whose validations follow them."""
    waiting = deque(validations)
    for row in steps:
        while waiting and waiting[0].step < row.step:
            yield waiting.popleft()
        yield row
    yield from waiting
