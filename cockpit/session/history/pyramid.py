"""A min/max pyramid: summaries of rows in blocks of growing size, so that any stretch is read from few cells.

R metrics (rows of a matrix) by slots (places of training steps); a block of size B at level L covers B slots.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np

from cockpit.session.history.summaries import Matrix, Slots, Stats
from engine.protocol.record import record

SIZES: Final = (16, 128, 1024, 8192, 65536)
"""Slots per block of each level; every size is a multiple of the one before."""

_FACTORS: Final = (SIZES[0], *(above // below for below, above in pairwise(SIZES)))


@record
class Cells:
    """Cells to gather for C columns: in `flat` a run, beginning at `starts`, for each of `columns` that has any."""

    flat: Slots
    starts: Slots
    columns: Slots

    @classmethod
    def of(cls, ranges: list[tuple[Slots, Slots]], num_columns: int) -> Cells:
        """Return the ranges of cells for each column: first index included, last index excluded."""
        if not ranges:
            return cls(*(np.zeros(0, np.int64) for _ in range(3)))
        first = np.stack([first_C for first_C, _ in ranges], 1).ravel()
        counts = np.stack([end_C for _, end_C in ranges], 1).ravel() - first
        offsets = first - (np.cumsum(counts) - counts)
        flat = np.repeat(offsets, counts) + np.arange(int(counts.sum()))
        per_column = counts.reshape(num_columns, -1).sum(1)
        columns = np.flatnonzero(per_column)
        return cls(flat, (np.cumsum(per_column) - per_column)[columns], columns)


@record
class GatherPlan:
    """Where the values of C columns are to be gathered from: single slots and whole blocks."""

    num_columns: int
    slots: Cells
    blocks: Cells


class Pyramid:
    """Block summaries for up to `rows` metrics over up to `capacity` slots, of which a growing stretch is filled."""

    def __init__(self, rows: int, capacity: int) -> None:
        lengths = [capacity // size for size in SIZES]
        self._offsets = [sum(lengths[:level]) for level in range(len(SIZES))]
        self._stats = Stats.reserved((rows, sum(lengths)))
        self._filled = [(0, 0) for _ in SIZES]

    def extend(self, values: Matrix, start: int, end: int) -> None:
        """Summarise the complete blocks after slots `start` to `end` of the R rows of `values` were filled."""
        num_rows = values.shape[0]
        for level, size in enumerate(SIZES):
            first, last = self._filled[level]
            whole = (-(-start // size), end // size)
            if whole[0] >= whole[1]:
                break
            missing = [whole] if first == last else [(whole[0], first), (last, whole[1])]
            for begin, stop in (span for span in missing if span[0] < span[1]):
                fresh = self._summary(values, level, begin, stop)
                self._stats.put(slice(num_rows), self._columns(level, begin, stop), fresh)
            self._filled[level] = whole

    def cut(self, end: int) -> None:
        """Discard the slots from `end` on."""
        for level, (first, last) in enumerate(self._filled):
            self._filled[level] = (first, max(first, min(last, end // SIZES[level])))

    def add_row(self, row: int) -> None:
        """Add a metric without a value in the present blocks."""
        for level, (first, last) in enumerate(self._filled):
            self._stats.clear(slice(row, row + 1), self._columns(level, first, last))

    def copied(self, num_rows: int, rows: int, capacity: int) -> Pyramid:
        """Return a pyramid of another size with the first `num_rows` metrics."""
        copy = Pyramid(rows, capacity)
        copy._filled = list(self._filled)
        for level, (first, last) in enumerate(self._filled):
            held = self._stats.part(slice(num_rows), self._columns(level, first, last))
            copy._stats.put(slice(num_rows), copy._columns(level, first, last), held)
        return copy

    def plan(self, first_C: Slots, end_C: Slots) -> GatherPlan:
        """Return the reads for C columns: slots from `first_C` up to `end_C`, all of them filled."""
        ranges: list[tuple[Slots, Slots]] = []
        first, end = first_C, end_C
        for factor in _FACTORS:
            if int((end - first).max(initial=0)) <= 2 * factor:
                break
            inner_first = -(-first // factor)
            inner_end = np.maximum(inner_first, end // factor)
            ranges.append((first, np.minimum(end, inner_first * factor)))
            ranges.append((np.minimum(end, inner_end * factor), end))
            first, end = inner_first, inner_end
        ranges.append((first, end))
        shifts = [-1, -1] + [offset for offset in self._offsets for _ in range(2)]
        blocks = [(a + shift, b + shift) for (a, b), shift in zip(ranges, shifts, strict=False) if shift >= 0]
        return GatherPlan(first_C.size, Cells.of(ranges[:2], first_C.size), Cells.of(blocks, first_C.size))

    def read(self, values: Matrix, rows: Slots, plan: GatherPlan) -> Stats:
        """Return the summary of each column of `plan` for K metrics: (K, C) cells."""
        found: Stats | None = None
        shape = (rows.size, plan.num_columns)
        if plan.slots.flat.size:
            single = Stats.of_values(values[rows[:, None], plan.slots.flat])
            found = _spread(single.runs(plan.slots.starts), plan.slots.columns, shape)
        if plan.blocks.flat.size:
            whole = self._stats.take(rows, plan.blocks.flat).runs(plan.blocks.starts)
            found = _united(found, whole, plan.blocks.columns, shape)
        return Stats.empty(shape) if found is None else found

    def flagged(self, row: int) -> tuple[Slots, int, int]:
        """Return one metric's smallest blocks with a NaN or infinity, and the first and last slot of all blocks."""
        first, last = self._filled[0]
        flags = self._stats.arrays[-1][row, self._columns(0, first, last)]
        return first + np.flatnonzero(flags), first * SIZES[0], last * SIZES[0]

    def _summary(self, values: Matrix, level: int, begin: int, stop: int) -> Stats:
        factor = _FACTORS[level]
        if level == 0:
            return Stats.of_values(values[:, begin * factor : stop * factor]).blocks(factor)
        below = self._columns(level - 1, begin * factor, stop * factor)
        return self._stats.part(slice(values.shape[0]), below).blocks(factor)

    def _columns(self, level: int, begin: int, stop: int) -> slice:
        return slice(self._offsets[level] + begin, self._offsets[level] + stop)


def _spread(runs: Stats, columns: Slots, shape: tuple[int, int]) -> Stats:
    """Return the summaries `runs` of some columns, with empty ones for the others."""
    return runs if columns.size == shape[1] else _united(None, runs, columns, shape)


def _united(found: Stats | None, runs: Stats, columns: Slots, shape: tuple[int, int]) -> Stats:
    """Return `found` after `runs` were merged in at `columns`."""
    found = Stats.empty(shape) if found is None else found
    found.unite(slice(None) if columns.size == shape[1] else columns, runs)
    return found
