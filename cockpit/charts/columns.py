"""A source of metrics, and a metric's history as columns of equal width, as many as the plot has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.protocol.record import record

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

AxisKind = Literal["step", "epoch", "time", "samples"]
"""The quantity of a horizontal axis."""

_BRIDGED_GAPS: Final = 4
"""A gap up to this many times the usual distance of two points is bridged; beyond it the metric was off."""
_FAR: Final = 2.0**40
"""Distance in steps to which an axis is continued at its mean rate, on both sides."""


class Columns(Protocol):
    """C columns of equal width, each a summary of the values at its steps."""

    @property
    def low_C(self) -> Floats:
        """Return the least finite value of each column, NaN for a column without one."""
        ...

    @property
    def high_C(self) -> Floats:
        """Return the greatest finite value of each column, NaN for a column without one."""
        ...

    @property
    def mean_C(self) -> Floats:
        """Return the mean of the finite values of each column, NaN for a column without one."""
        ...

    @property
    def nan_C(self) -> Flags:
        """Return which columns hold a NaN."""
        ...

    @property
    def inf_C(self) -> Flags:
        """Return which columns hold an infinity, of either sign."""
        ...

    @property
    def low_positive_C(self) -> Floats:
        """Return the least value above 0 of each column, for a logarithmic axis; NaN for a column without one."""
        ...


class Source(Protocol):
    """A source of metrics by step. Absent is not NaN: a step without a metric has no value."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all metrics: of training steps, validations and layers."""
        ...

    @property
    def version(self) -> int:
        """Return a number that grows with every change: a drawing for a smaller one is out of date."""
        ...

    @property
    def first_step(self) -> int:
        """Return the oldest training step in memory, 0 without one; smaller as older rows are read."""
        ...

    @property
    def last_step(self) -> int:
        """Return the newest training step, 0 without one."""
        ...

    @property
    def loading(self) -> float:
        """Return the share (0..1) of a long journal that was read, newest rows first."""
        ...

    def buckets_of(
        self, names: Sequence[str], *, first: float, last: float, columns: int, edges: Floats | None = None
    ) -> Mapping[str, Columns]:
        """Return the columns of each metric over the steps from `first` (included) to `last` (excluded).

        `edges` are the steps between the columns; with `None` all are equally wide.
        """
        ...

    def rows(self, name: str, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the recorded steps of a metric from `first` to `last`, both included, and their values."""
        ...

    def at(self, name: str, step: int) -> float | None:
        """Return the value at `step` or at the nearest recorded step before it; `None` if there is none."""
        ...

    def newest(self, name: str) -> float | None:
        """Return the last recorded value; `None` if there is none."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class StepAxis:
    """A horizontal axis other than the step: K steps with their places on it, both rising.

    Places are epochs, seconds or samples. Between the steps places are interpolated, outside they go on at the mean
    rate.
    """

    kind: AxisKind
    steps_K: Floats
    places_K: Floats

    @classmethod
    def of(cls, kind: AxisKind, steps: NDArray[Any], places: Floats) -> StepAxis | None:
        """Return the axis through these points; `None` if the places do not rise."""
        kept = places > np.concatenate(([-np.inf], np.maximum.accumulate(places)[:-1]))
        known_K, places_K = steps[kept].astype(np.float64), places[kept].astype(np.float64)
        if known_K.size < 2:
            return None
        far = _FAR * (places_K[-1] - places_K[0]) / (known_K[-1] - known_K[0])
        return cls(
            kind,
            np.concatenate(([known_K[0] - _FAR], known_K, [known_K[-1] + _FAR])),
            np.concatenate(([places_K[0] - far], places_K, [places_K[-1] + far])),
        )

    def places(self, steps: Floats) -> Floats:
        """Return the places of steps."""
        return np.interp(steps, self.steps_K, self.places_K)

    def place(self, step: float) -> float:
        """Return the place of one step."""
        return float(np.interp(step, self.steps_K, self.places_K))

    def steps(self, places: Floats) -> Floats:
        """Return the steps at places, with fractions."""
        return np.interp(places, self.places_K, self.steps_K)

    def step(self, place: float) -> float:
        """Return the step at one place, with a fraction."""
        return float(np.interp(place, self.places_K, self.steps_K))


@record
class ColumnWindow:
    """The steps from `first` (included) to `end` (excluded) that a plot shows, at least a fraction of a step wide.

    Columns are equally wide on `axis`; `None` is the axis of steps.
    """

    first: float
    end: float
    axis: StepAxis | None = None

    @property
    def span(self) -> float:
        """Return the width in steps, above 0."""
        return max(self.end - self.first, 1e-9)

    @property
    def limits(self) -> tuple[float, float]:
        """Return the first and last place on the axis."""
        return (self.first, self.end) if self.axis is None else (self.axis.place(self.first), self.axis.place(self.end))

    def at(self, left: float, right: float) -> ColumnWindow:
        """Return the window between two places on the same axis."""
        if self.axis is None:
            return ColumnWindow(left, right)
        return ColumnWindow(self.axis.step(left), self.axis.step(right), self.axis)

    def column(self, step: float, columns: int) -> int:
        """Return the column of `columns` that holds `step`; below 0 or at least `columns` if the step is outside."""
        if self.axis is not None:
            left, right = self.limits
            return int(np.floor((self.axis.place(step) - left) * columns / max(right - left, 1e-9) + 1e-9))
        return int(np.floor((step - self.first) * columns / self.span + 1e-9))

    def columns_of(self, steps: NDArray[Any], columns: int) -> NDArray[np.int64]:
        """Return the column of each step, like `column`."""
        if self.axis is not None:
            left, right = self.limits
            places = (self.axis.places(steps.astype(np.float64)) - left) * columns / max(right - left, 1e-9)
            return np.floor(places + 1e-9).astype(np.int64)
        return np.floor((steps - self.first) * columns / self.span + 1e-9).astype(np.int64)

    def step_at(self, column: float, columns: int) -> float:
        """Return the step in the middle of a column."""
        if self.axis is not None:
            left, right = self.limits
            return self.axis.step(left + (column + 0.5) * (right - left) / max(columns, 1))
        return self.first + (column + 0.5) * self.span / max(columns, 1)

    def places(self, columns: int) -> Floats:
        """Return the places of the `columns` + 1 edges between the columns."""
        return np.linspace(*self.limits, columns + 1)

    def edges(self, columns: int) -> Floats | None:
        """Return the steps at the edges between the columns; `None` if they are evenly spaced."""
        return None if self.axis is None else self.axis.steps(self.places(columns))


@record
class Band:
    """The drawable part of K curves in C columns in axis units (log10 on a log axis); NaN for nothing.

    `rug_C` marks columns with a value of 0 or less on a log axis. `nan_C` and `inf_C` mark columns with NaN and
    infinity, and `broken_KC` says in which curve.
    """

    low_KC: Floats
    high_KC: Floats
    mean_KC: Floats
    broken_KC: Flags
    rug_C: Flags
    nan_C: Flags
    inf_C: Flags


def band(curves: Sequence[Columns], count: int, *, log: bool) -> Band:
    """Return the curves, each of `count` columns, in axis units; on a log axis only the values above 0."""
    nan_KC = _stacked([columns.nan_C for columns in curves], count, np.bool_)
    inf_KC = _stacked([columns.inf_C for columns in curves], count, np.bool_)
    low_KC = _stacked([columns.low_C for columns in curves], count, np.float64)
    high_KC = _stacked([columns.high_C for columns in curves], count, np.float64)
    mean_KC = _stacked([columns.mean_C for columns in curves], count, np.float64)
    rug_C = np.zeros(count, np.bool_)
    if log:
        rug_C = _any(low_KC <= 0)
        low_KC = _log10(_stacked([columns.low_positive_C for columns in curves], count, np.float64))
        high_KC, mean_KC = _log10(high_KC), _log10(mean_KC)
    return Band(low_KC, high_KC, mean_KC, nan_KC | inf_KC, rug_C, _any(nan_KC), _any(inf_KC))


def _stacked(rows: Sequence[NDArray[Any]], count: int, kind: type[Any]) -> NDArray[Any]:
    """Stack rows into one array of `count` columns, also if there are no rows."""
    return np.array(rows, kind).reshape(len(rows), count)


def _any(flags_KC: Flags) -> Flags:
    return np.logical_or.reduce(flags_KC)


def _log10(values: Floats) -> Floats:
    return np.log10(np.where(values > 0, values, np.nan))


def bridged(middle_KC: Floats, broken_KC: Flags) -> Floats:
    """Fill the empty columns between two neighbouring points of K curves with a straight line.

    Gaps stay empty if they hold a non-finite value, or if they are so wide that the metric was off.
    """
    known_KC = ~np.isnan(middle_KC)
    count_K = known_KC.sum(axis=1)
    width = middle_KC.shape[1]
    span_K = width - known_KC[:, ::-1].argmax(axis=1) - known_KC.argmax(axis=1) if width else count_K
    gappy = np.flatnonzero((count_K > 1) & (count_K < span_K)).tolist()
    if not gappy:
        return middle_KC
    result_KC = middle_KC.copy()
    for number in gappy:
        result_KC[number] = _bridged_row(middle_KC[number], known_KC[number], broken_KC[number])
    return result_KC


def _bridged_row(middle_C: Floats, known_C: Flags, broken_C: Flags) -> Floats:
    drawn = np.flatnonzero(known_C)
    widths = drawn[1:] - drawn[:-1]
    breaks = np.cumsum(broken_C & ~known_C)[drawn]
    joined = (widths <= _BRIDGED_GAPS * max(float(np.sort(widths)[widths.size // 2]), 1.0)) & (
        breaks[1:] == breaks[:-1]
    )
    inside = np.zeros(middle_C.shape, np.int64)
    inside[drawn[:-1][joined]] += 1
    inside[drawn[1:][joined]] -= 1
    everywhere = np.interp(np.arange(middle_C.size), drawn, middle_C[drawn])
    return np.where((np.cumsum(inside) > 0) & ~known_C, everywhere, middle_C)
