"""The value axis: the range that a plot shows, chosen so that outliers do not flatten the other values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from cockpit.charts.columns.band import Band
from cockpit.charts.columns.source import Floats
from engine.protocol.record import record

Bounds = tuple[float, float]
"""The lower and upper limit of an axis; infinite if it is free."""

FREE: Final[Bounds] = (-math.inf, math.inf)

_LARGEST: Final = 1e300
"""Values are limited to this size, so that differences of two never overflow."""
_FEW: Final = 8
_MARGIN: Final = 0.02
"""The margin of an axis beyond its bounds, as a share of its range."""
_OUTLYING: Final = 1.5
"""A value is an outlier from this many middle ranges away from the middle range."""
_REACH: Final = 0.6
"""A level within this share of the data's range is drawn; another is named at the edge."""


@record
class Scale:
    """The range `low` < `high` in axis units: the value itself, or its log10 if `log`."""

    low: float
    high: float
    log: bool = False

    def place(self, values: Floats) -> Floats:
        """Return the places of values in axis units: 0 at the bottom, 1 at the top, outside if off the axis."""
        return (np.clip(values, -_LARGEST, _LARGEST) - self.low) / (self.high - self.low)

    def units(self, value: float) -> float:
        """Return a value in axis units; NaN if a log axis cannot show it."""
        if not self.log:
            return value
        return math.log10(value) if value > 0 else math.nan

    def height(self, value: float) -> float:
        """Return the place of one value (not in axis units), as `place`; NaN if it cannot be shown."""
        return (self.units(value) - self.low) / (self.high - self.low)


def robust_scale(band: Band, *, log: bool, levels: Iterable[float] = (), bounds: Bounds = FREE) -> Scale:
    """Return the range of the curves without outliers, widened to the near ones of `levels` (plain values).

    The axis keeps to `bounds`, such as 0 and 1 for shares, up to a small margin.
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
    """Return the scale cut at the bounds plus a margin, which keeps a curve on a bound visible."""
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
    """Return the ends of rising values (at least one) without `percent` of them at each end."""
    cut = int(ordered.size * percent / 100)
    return float(ordered[cut]), float(ordered[-1 - cut])


def _opened(low: float, high: float, *, log: bool) -> tuple[float, float]:
    """Return a range wide enough to tell its ends apart, also in float32."""
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
