"""A value axis: the range that a plot shows, chosen so that one outlier does not press the rest flat."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from cockpit.charts.columns import Band, Floats

Bounds = tuple[float, float]
"""The values between which an axis stays; infinite where it is free."""

FREE: Final[Bounds] = (-math.inf, math.inf)

_LARGEST: Final = 1e300
"""Values are held within this, so that differences of two never overflow."""
_FEW: Final = 8
_MARGIN: Final = 0.02
"""The share of its range by which an axis goes beyond its bounds."""
_OUTLYING: Final = 1.5
"""A value outlies when it is this many times the middle range away from it."""
_REACH: Final = 0.6
"""A level is drawn when it lies within this share of the data's range around it; else it is named at the edge."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The range `low` < `high` in axis units: the value itself, or its log10 where `log`."""

    low: float
    high: float
    log: bool = False

    def place(self, values: Floats) -> Floats:
        """Where values in axis units stand: 0 at the bottom, 1 at the top, outside where they are off the axis."""
        return (np.clip(values, -_LARGEST, _LARGEST) - self.low) / (self.high - self.low)

    def units(self, value: float) -> float:
        """A value in axis units; NaN for one that a log axis cannot show."""
        if not self.log:
            return value
        return math.log10(value) if value > 0 else math.nan

    def height(self, value: float) -> float:
        """Where one value (not in axis units) stands, as `place`; NaN where it cannot be shown."""
        return (self.units(value) - self.low) / (self.high - self.low)


def robust_scale(band: Band, *, log: bool, levels: Iterable[float] = (), bounds: Bounds = FREE) -> Scale:
    """The range of the curves without their outliers, opened to the near ones of `levels` (values, not axis units).

    The axis hardly leaves `bounds`, such as 0 and 1 for shares.
    """
    values = np.concatenate((band.low_KC, band.high_KC), axis=None)
    values = np.clip(values[~np.isnan(values)], -_LARGEST, _LARGEST)
    if values.size == 0:
        return Scale(0.0, 1.0, log)
    low, high = _without_outliers(values)
    low, high = _opened(low, high, log=log)
    low, high = _reaching(low, high, [Scale(0, 1, log).units(level) for level in levels])
    pad = 0.04 * (high - low)
    scale = Scale(low - pad, high + pad, log)
    return scale if log else _within(scale, bounds)


def _within(scale: Scale, bounds: Bounds) -> Scale:
    """The scale cut at the bounds and a margin, by which a curve on a bound is still seen."""
    low, high = bounds
    margin = _MARGIN * (high - low if math.isfinite(high - low) else scale.high - scale.low)
    cut = Scale(max(scale.low, low - margin), min(scale.high, high + margin))
    return cut if cut.low < cut.high else scale


def _without_outliers(values: Floats) -> tuple[float, float]:
    ordered = np.sort(values)
    least, greatest = float(ordered[0]), float(ordered[-1])
    if values.size < _FEW:
        return least, greatest
    low, high = middle_of(ordered, 3 if values.size >= 60 else 10)
    reach = _OUTLYING * (high - low)
    return (
        least if low - least <= reach else low - 0.2 * (high - low),
        greatest if greatest - high <= reach else high + 0.2 * (high - low),
    )


def middle_of(ordered: Floats, percent: float) -> tuple[float, float]:
    """The ends of rising values (at least one) without `percent` of them at each end."""
    cut = int(ordered.size * percent / 100)
    return float(ordered[cut]), float(ordered[-1 - cut])


def _opened(low: float, high: float, *, log: bool) -> tuple[float, float]:
    """A range wide enough to tell its ends apart, also in float32."""
    size = max(abs(low), abs(high))
    if log:
        return (low - 0.5, high + 0.5) if high - low < 1e-3 else (low, high)
    if high - low <= 1e-6 * size or high == low:
        pad = 0.1 * size or 1.0
        return low - pad, high + pad
    return low, high


def _reaching(low: float, high: float, levels: Iterable[float]) -> tuple[float, float]:
    reach = _REACH * (high - low)
    near = [level for level in levels if low - reach <= level <= high + reach]
    return min([low, *near]), max([high, *near])
