"""A chart's axis: where values stand between its ends, and round values to write beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Axis:
    """A value range, `low` < `high` in drawing units (log10 of the value where `log`), and how to go there."""

    low: float
    high: float
    log: bool = False

    def place(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values as heights in 0..1: plotext never sees numbers that it could not subtract."""
        units = np.log10(values) if self.log else values
        return (units - self.low) / (self.high - self.low)

    def ticks(self, count: int = 5) -> tuple[list[float], list[str]]:
        """About `count` round values inside the range: their heights in 0..1 and their labels, all different."""
        values = _decades(self.low, self.high, count) if self.log else _round_values(self.low, self.high, count)
        return self.place(np.array(values)).tolist(), _labels(values)


def _round_values(low: float, high: float, count: int) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten inside low..high, at most `count` + 1 of them."""
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _decades(low: float, high: float, count: int) -> list[float]:
    """Powers of ten inside the range of exponents low..high; round values where that would be fewer than two."""
    first, last = math.ceil(low - 1e-9), math.floor(high + 1e-9)
    if last - first < 1:
        return [value for value in _round_values(10.0**low, 10.0**high, count) if value > 0]
    return [10.0**exponent for exponent in range(first, last + 1, 1 + (last - first) // (count + 1))]


def _labels(values: list[float]) -> list[str]:
    for digits in range(3, 17):
        labels = [f"{value:.{digits}g}" for value in values]
        if len(set(labels)) == len(labels):
            return labels
    return [repr(value) for value in values]
