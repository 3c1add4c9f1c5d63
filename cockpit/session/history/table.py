"""The rows of one kind (training steps, or validations) in memory, growing at both ends, summarised for charts."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.session.history.pyramid import SIZES, Pyramid
from cockpit.session.history.summaries import ABSENT, Matrix, absent, reserved
from engine.journal.series import Rows

_ROOM: Final = 4096
_METRICS: Final = 64


class Table:
    """Metrics by rows in the order of their steps. A cell holds the value as recorded, or is absent, which is not NaN.

    Slots are places for rows: those from `start` up to `end` are filled, both ends can grow. `names` are the metrics
    that were recorded, in the order in which the journal met them.
    """

    def __init__(self, *, room_before: int = 0) -> None:
        self.start = self.end = _aligned(room_before)
        self.version = 0
        capacity = self.start + _ROOM
        self.all_steps: NDArray[np.int64] = reserved((capacity,), np.int64)
        self.values: Matrix = reserved((_METRICS, capacity), np.float32)
        self.pyramid = Pyramid(_METRICS, capacity)
        self._rows: dict[str, int] = {}
        self._order: dict[str, tuple[int, int]] = {}
        self._layouts: set[int] = set()
        self.names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of rows."""
        return self.end - self.start

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps of all rows, ascending."""
        return self.all_steps[self.start : self.end]

    def row_of(self, name: str) -> int | None:
        """Return the row of `values` with a metric; `None` if it was never recorded."""
        return self._rows.get(name)

    def append(self, rows: Rows) -> None:
        """Add newer rows; they replace held rows from the first of their steps on."""
        if rows.size:
            self.cut(int(rows.steps[0]) - 1)
            self._reserve(self.end + rows.size)
            self._write(rows, self.end)
            self._fill(self.start, self.end + rows.size)

    def prepend(self, rows: Rows) -> None:
        """Add older rows, for which `room_before` must have space."""
        assert rows.size <= self.start, f"no room for {rows.size} rows before slot {self.start}"
        if rows.size:
            self._write(rows, self.start - rows.size)
            self._fill(self.start - rows.size, self.end)

    def cut(self, last: int) -> None:
        """Forget the rows after step `last`."""
        end = self.start + int(np.searchsorted(self.steps, last, "right"))
        if end < self.end:
            self.end = end
            self.pyramid.cut(end)
            self.version += 1

    def _write(self, rows: Rows, begin: int) -> None:
        for part in rows.parts:
            self._meet(part.layout, part.names)
        cells = slice(begin, begin + rows.size)
        self.all_steps[cells] = rows.steps
        self.values[: len(self._rows), cells] = ABSENT
        for part in rows.parts:
            values = part.values_NK.T
            if absent(part.values_NK).any():
                values = np.where(absent(part.values_NK), np.float32(np.nan), part.values_NK).T
            at = np.array([self._rows[name] for name in part.names], np.intp)
            self.values[np.ix_(at, begin + part.at)] = values

    def _fill(self, start: int, end: int) -> None:
        """Take note that the slots from `start` up to `end` were filled."""
        self.start, self.end = start, end
        self.pyramid.extend(self.values[: len(self._rows)], start, end)
        self.version += 1

    def _meet(self, layout: int, names: tuple[str, ...]) -> None:
        """Make a row for each metric that is new."""
        if layout in self._layouts:
            return
        self._layouts.add(layout)
        for column, name in enumerate(names):
            if name not in self._rows:
                self._add_row(name)
            self._order[name] = min(self._order.get(name, (layout, column)), (layout, column))
        self.names = tuple(sorted(self._order, key=lambda name: self._order[name]))

    def _add_row(self, name: str) -> None:
        row = len(self._rows)
        if row == self.values.shape[0]:
            self._grow(2 * row, self.all_steps.size)
        self.values[row, self.start : self.end] = ABSENT
        self.pyramid.add_row(row)
        self._rows[name] = row

    def _reserve(self, end: int) -> None:
        if end > self.all_steps.size:
            self._grow(self.values.shape[0], _aligned(max(end, 2 * self.all_steps.size)))

    def _grow(self, num_metrics: int, capacity: int) -> None:
        held, filled = len(self._rows), slice(self.start, self.end)
        steps, values = reserved((capacity,), np.int64), reserved((num_metrics, capacity), np.float32)
        steps[filled] = self.steps
        values[:held, filled] = self.values[:held, filled]
        self.pyramid = self.pyramid.copied(held, num_metrics, capacity)
        self.all_steps, self.values = steps, values


def _aligned(slots: int) -> int:
    return -(-slots // SIZES[0]) * SIZES[0]
