"""Smoothing of a curve for the eye: an exponential average that neither lags behind nor starts at zero."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from cockpit.charts.columns import Floats

STRENGTHS: Final = (0.0, 0.6, 0.8, 0.9, 0.97)
"""Shares of the past that a curve keeps per column; 0 is the raw curve alone."""


def stronger(strength: float) -> float:
    """The next of `STRENGTHS`; behind the last comes the first."""
    return next((other for other in STRENGTHS if other > strength), STRENGTHS[0])


def smoothed(mean_KC: Floats, strength: float) -> Floats:
    """The average of K curves' column means, weighted by `strength` to the power of the distance in columns.

    `strength` lies in 0 (nothing is smoothed) to below 1. Columns without a value stay NaN and do not count. It looks
    both ways, so that it does not trail behind a falling loss; at the newest column it is the usual moving average.
    """
    known_KC = ~np.isnan(mean_KC)
    kernel_CC = _kernel(mean_KC.shape[1], strength)
    weight_KC = known_KC @ kernel_CC
    total_KC = np.where(known_KC, mean_KC, 0.0) @ kernel_CC
    return np.where(known_KC, total_KC / np.maximum(weight_KC, 1e-300), np.nan)


@lru_cache(maxsize=32)
def _kernel(columns: int, strength: float) -> Floats:
    """What column i counts for column j; asked for again with every frame."""
    place = np.arange(columns)
    return strength ** np.abs(place[:, None] - place[None, :]).astype(np.float64)
