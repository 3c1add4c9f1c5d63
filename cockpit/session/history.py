"""Metric histories as charts read them: columns of a step range, single values, and every step that was not finite."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.journal.series import Series

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
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


class History:
    """Every metric of a run along the lineage that counts. Absent is not NaN: a row without a metric has no value."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.version = 0
        self.first_step = 0
        self.last_step = 0
        self.loading = 1.0
        self._steps: dict[str, NDArray[np.int64]] = {}
        self._values: dict[str, NDArray[np.float32]] = {}

    def replace(self, names: tuple[str, ...], series: Series, *, first_step: int, last_step: int) -> None:
        """Hold the metrics `names` of `series`."""
        self.names, self.first_step, self.last_step = names, first_step, last_step
        for name in names:
            present = series.present[name]
            self._steps[name] = series.steps[present]
            self._values[name] = series.values[name][present]
        self.version += 1

    def buckets(self, name: str, *, first: float, last: float, columns: int) -> Buckets:
        """The steps from `first` (included) to `last` (not included) of a metric in `columns` columns."""
        edges = np.ceil(first + (np.arange(columns + 1) - 1e-9) * ((last - first) / max(columns, 1)))
        steps, values = self.rows(name, int(edges[0]), int(edges[-1]) - 1)
        at = np.searchsorted(steps, edges)
        nan, none = np.full(columns, np.nan), np.zeros(columns, np.bool_)
        empty = Buckets(nan.copy(), nan.copy(), nan.copy(), none.copy(), none.copy(), nan.copy())
        for column in np.flatnonzero(np.diff(at)):
            held = values[at[column] : at[column + 1]].astype(np.float64)
            finite = held[np.isfinite(held)]
            empty.nan_C[column], empty.inf_C[column] = np.isnan(held).any(), np.isinf(held).any()
            if finite.size:
                empty.low_C[column], empty.high_C[column] = finite.min(), finite.max()
                empty.mean_C[column] = finite.mean()
            if (finite > 0).any():
                empty.low_positive_C[column] = finite[finite > 0].min()
        return empty

    def rows(self, name: str, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The steps `first` to `last`, both included, at which the metric was recorded, and its values."""
        steps = self._steps.get(name, np.zeros(0, np.int64))
        values = self._values.get(name, np.zeros(0, np.float32))
        start, end = np.searchsorted(steps, [first, last + 1])
        return steps[start:end], values[start:end]

    def at(self, name: str, step: int) -> float | None:
        """The value recorded at `step` or at the nearest recorded step before it; None where there is none."""
        _, values = self.rows(name, -(2**62), step)
        return float(values[-1]) if values.size else None

    def newest(self, name: str) -> float | None:
        """The last value recorded; None where there is none."""
        return self.at(name, 2**62)

    def non_finite(self, name: str) -> NDArray[np.int64]:
        """The steps whose value is NaN or infinite."""
        steps, values = self.rows(name, -(2**62), 2**62)
        return steps[~np.isfinite(values)]
