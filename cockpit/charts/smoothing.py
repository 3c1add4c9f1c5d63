"""Smoothing of a curve for the eye: an exponential average that neither lags behind nor starts at zero."""

from __future__ import annotations

from typing import Final

import numpy as np

from cockpit.charts.columns import Floats

STRENGTHS: Final = (0.0, 0.6, 0.8, 0.9, 0.97)
"""Shares of the past that a curve keeps per column; 0 is the raw curve alone."""


def stronger(strength: float) -> float:
    """The next of `STRENGTHS`; behind the last comes the first."""
    return next((other for other in STRENGTHS if other > strength), STRENGTHS[0])


def smoothed(mean_C: Floats, strength: float) -> Floats:
    """The average of the columns' means, weighted by `strength` to the power of the distance in columns with a value.

    `strength` lies in 0 (nothing is smoothed) to below 1. Columns without a value stay NaN and do not count. It looks
    both ways, so that it does not trail behind a falling loss; at the newest column it is the usual moving average.
    """
    known = np.flatnonzero(~np.isnan(mean_C))
    values: list[float] = mean_C[known].tolist()
    before, before_weight = _decayed(values, strength)
    after, after_weight = _decayed(values[::-1], strength)
    total = np.array(before) + np.array(after[::-1]) - np.array(values)
    weight = np.array(before_weight) + np.array(after_weight[::-1]) - 1.0
    result_C = np.full(mean_C.shape, np.nan)
    result_C[known] = total / weight
    return result_C


def _decayed(values: list[float], strength: float) -> tuple[list[float], list[float]]:
    """For each value the sum of it and all before, each decayed by its distance, and the sum of the weights."""
    total, weight = 0.0, 0.0
    totals: list[float] = []
    weights: list[float] = []
    for value in values:
        total, weight = strength * total + value, strength * weight + 1.0
        totals.append(total)
        weights.append(weight)
    return totals, weights
