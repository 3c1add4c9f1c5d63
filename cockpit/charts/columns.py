"""What a chart reads: a metric's history as columns of equal width, bounded by the screen and not by the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_BRIDGED_GAPS: Final = 4
"""A gap is joined up to this many times the usual distance between two points; beyond it the metric was off."""


class Columns(Protocol):
    """C columns of equal width; least, greatest and mean finite value of each, NaN where a column holds none."""

    @property
    def low_C(self) -> Floats: ...
    @property
    def high_C(self) -> Floats: ...
    @property
    def mean_C(self) -> Floats: ...
    @property
    def nan_C(self) -> Flags: ...
    @property
    def inf_C(self) -> Flags: ...
    @property
    def low_positive_C(self) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Window:
    """The steps `first` (included) to `end` (not included) that a plot shows; at least a fraction of a step wide."""

    first: float
    end: float

    @property
    def span(self) -> float:
        """How many steps wide, above 0."""
        return max(self.end - self.first, 1e-9)

    def column(self, step: float, columns: int) -> int:
        """The column of `columns` that holds `step`; below 0 or at least `columns` where the step is outside."""
        return int(np.floor((step - self.first) * columns / self.span + 1e-9))

    def step_at(self, column: float, columns: int) -> float:
        """The step in the middle of a column."""
        return self.first + (column + 0.5) * self.span / max(columns, 1)


@dataclass(frozen=True, slots=True)
class Band:
    """The drawable part of C columns in axis units (log10 on a log axis): NaN where nothing is drawn.

    `rug_C` marks columns that hold a value a log axis cannot show (0 or less).
    """

    low_C: Floats
    high_C: Floats
    mean_C: Floats
    rug_C: Flags


def band(columns: Columns, *, log: bool) -> Band:
    """The columns as an axis sees them; on a log axis the values above 0 only."""
    low_C, high_C, mean_C = columns.low_C, columns.high_C, columns.mean_C
    if not log:
        return Band(low_C, high_C, mean_C, np.zeros(low_C.shape, np.bool_))
    return Band(_log10(columns.low_positive_C), _log10(high_C), _log10(mean_C), low_C <= 0)


def _log10(values: Floats) -> Floats:
    positive = np.where(values > 0, values, np.nan)
    return np.log10(positive)


def bridged(middle_C: Floats, broken_C: Flags) -> Floats:
    """`middle_C` with the empty columns between two neighbouring points filled by a straight line.

    Left empty: gaps that hold a non-finite value, and gaps far wider than the usual one, where the metric was off.
    """
    drawn = np.flatnonzero(~np.isnan(middle_C))
    if drawn.size < 2:
        return middle_C
    widths = np.diff(drawn)
    if int(widths.max()) == 1:
        return middle_C
    breaks = np.cumsum(broken_C & np.isnan(middle_C))
    joined = (widths <= _BRIDGED_GAPS * max(float(np.median(widths)), 1.0)) & (np.diff(breaks[drawn]) == 0)
    inside = np.zeros(middle_C.shape, np.int64)
    inside[drawn[:-1][joined]] += 1
    inside[drawn[1:][joined]] -= 1
    everywhere = np.interp(np.arange(middle_C.size), drawn, middle_C[drawn])
    return np.where((np.cumsum(inside) > 0) & np.isnan(middle_C), everywhere, middle_C)
