"""A horizontal axis, and the window of steps on it that a plot shows as columns of equal width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.columns.source import Floats
from engine.protocol.record import record

AxisKind = Literal["step", "epoch", "time", "samples"]
"""The quantity of a horizontal axis."""


_FAR: Final = 2.0**40
"""Distance in steps to which an axis is continued at its mean rate, on both sides."""


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
        place = step if self.axis is None else self.axis.place(step)
        left, right = self.limits
        return int(np.floor((place - left) * columns / max(right - left, 1e-9) + 1e-9))

    def columns_of(self, steps: NDArray[Any], columns: int) -> NDArray[np.int64]:
        """Return the column of each step, like `column`."""
        places = steps if self.axis is None else self.axis.places(steps.astype(np.float64))
        left, right = self.limits
        return np.floor((places - left) * columns / max(right - left, 1e-9) + 1e-9).astype(np.int64)

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
