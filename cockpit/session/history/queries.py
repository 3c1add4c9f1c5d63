"""What charts and cursors read from a table: columns of a range of steps, single values, steps not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.session.history.pyramid import SIZES, GatherPlan
from cockpit.session.history.summaries import INF, NAN, Slots, absent
from cockpit.session.history.table import Table
from engine.protocol.record import record

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_KEPT_PLANS: Final = 16
_EDGE: Final = 1e-9
"""The share of a column by which a step may lie before its edge and still belong to it, against rounding."""
_ROUNDING: Final = 1e-6
"""The same in steps, for edges that were computed from places on another axis."""


@record
class Buckets:
    """C columns of equal width: column c covers the steps [first + c*w, first + (c+1)*w).

    Least and greatest finite value and their mean, NaN where a column holds none; `low_positive_C` is the least value
    above 0. `nan_C` and `inf_C` mark columns that hold a NaN, an infinity of either sign.
    """

    low_C: Floats
    high_C: Floats
    mean_C: Floats
    nan_C: Flags
    inf_C: Flags
    low_positive_C: Floats


def no_buckets(columns: int) -> Buckets:
    """Return columns without values."""
    nan, none = np.full(max(columns, 0), np.nan), np.zeros(max(columns, 0), np.bool_)
    return Buckets(nan.copy(), nan.copy(), nan.copy(), none.copy(), none.copy(), nan.copy())


class HistoryQueries:
    """Reads one table; the work is bounded by the requested columns. The caller prevents concurrent writes."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._plans: dict[tuple[float, float, int, bytes], GatherPlan | None] = {}
        self._planned_for = -1

    def buckets(
        self, names: Sequence[str], *, first: float, last: float, columns: int, edges: Floats | None = None
    ) -> dict[str, Buckets]:
        """Return each metric's steps from `first` (included) to `last` (excluded), summarised in `columns` columns.

        Metrics that are read together cost little more than one. `edges` are the steps between the columns, rising;
        `None` for columns of equal width.
        """
        plan = self._plan(first, last, columns, edges)
        rows = {name: row for name in names if plan is not None and (row := self._table.row_of(name)) is not None}
        found = {name: no_buckets(columns) for name in names if name not in rows}
        if plan is None or not rows:
            return found
        cells = self._table.pyramid.read(self._table.values, np.array(list(rows.values()), np.int64), plan)
        low, high, positive, total, count, flags = cells.arrays
        some = count > 0
        fields = zip(
            np.where(some, low, np.nan).astype(np.float64),
            np.where(some, high, np.nan).astype(np.float64),
            np.where(some, total, np.nan) / np.maximum(count, 1),
            (flags & NAN) != 0,
            (flags & INF) != 0,
            np.where(np.isinf(positive), np.nan, positive).astype(np.float64),
            strict=True,
        )
        return found | {name: Buckets(*of_metric) for name, of_metric in zip(rows, fields, strict=True)}

    def rows(self, name: str, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return copies of a metric's recorded steps from `first` to `last`, both included, and of its values."""
        row = self._table.row_of(name)
        if row is None:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        steps = self._table.steps
        begin, end = int(np.searchsorted(steps, first)), int(np.searchsorted(steps, last, "right"))
        return self._recorded(row, self._table.start + np.arange(begin, max(begin, end)))

    def at(self, name: str, step: int) -> float | None:
        """Return the value at `step` or at the nearest recorded step before it; `None` if there is none."""
        row, start = self._table.row_of(name), self._table.start
        end, reach = start + int(np.searchsorted(self._table.steps, step, "right")), 16
        while row is not None and end > start:
            begin = max(start, end - reach)
            held = self._table.values[row, begin:end]
            present = np.flatnonzero(~absent(held))
            if present.size:
                return float(held[present[-1]])
            end, reach = begin, reach * 4
        return None

    def non_finite(self, name: str) -> NDArray[np.int64]:
        """Return the steps with a NaN or infinite value."""
        row, table = self._table.row_of(name), self._table
        if row is None:
            return np.zeros(0, np.int64)
        blocks, first, last = table.pyramid.flagged(row)
        first, last = (first, last) if first < last else (table.end, table.end)
        inside = (blocks[:, None] * SIZES[0] + np.arange(SIZES[0])).ravel()
        slots = np.concatenate([np.arange(table.start, first), inside, np.arange(last, table.end)])
        steps, values = self._recorded(row, slots)
        return steps[~np.isfinite(values)]

    def _recorded(self, row: int, slots: Slots) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        values = self._table.values[row].take(slots)
        present = ~absent(values)
        return self._table.all_steps.take(slots[present]), values[present]

    def _plan(self, first: float, last: float, columns: int, edges: Floats | None) -> GatherPlan | None:
        """Return the rows of each column, cached until rows change: adjacent charts request the same columns."""
        if self._planned_for != self._table.version or len(self._plans) >= _KEPT_PLANS:
            self._plans.clear()
            self._planned_for = self._table.version
        key = (first, last, columns, b"" if edges is None else edges.tobytes())
        if key not in self._plans:
            self._plans[key] = self._new_plan(first, last, columns, edges)
        return self._plans[key]

    def _new_plan(self, first: float, last: float, columns: int, edges: Floats | None) -> GatherPlan | None:
        steps = self._table.steps
        if steps.size == 0 or columns <= 0 or not last > first or not np.isfinite(last - first):
            return None
        if edges is None:
            edges = np.ceil(first + (np.arange(columns + 1) - _EDGE) * ((last - first) / columns))
        else:
            edges = np.ceil(edges - _ROUNDING)
        keys = np.clip(edges, float(steps[0]), float(steps[-1]) + 1.0).astype(np.int64)
        slots = self._table.start + np.searchsorted(steps, keys)
        return self._table.pyramid.plan(slots[:-1], slots[1:])
