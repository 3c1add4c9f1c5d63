"""Smooth a curve: an exponential average that neither lags behind nor starts at zero."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from cockpit.charts.columns.source import Floats

STRENGTHS: Final = (0.0, 0.6, 0.8, 0.9, 0.97)
"""Shares of the past that a curve keeps per column; 0 draws the raw curve alone."""


def stronger(strength: float) -> float:
    """Return the next of `STRENGTHS`; the first one follows the last."""
    return next((other for other in STRENGTHS if other > strength), STRENGTHS[0])


def smoothed(mean_KC: Floats, strength: float) -> Floats:
    """Return the average of K curves' column means, weighted by `strength` to the power of the distance in columns.

    `strength` is at least 0 (no smoothing) and below 1. Columns without a value stay NaN and do not count. The average
    looks both ways, so that it does not lag. At the newest column it is the usual moving average.
    """
    known_KC = ~np.isnan(mean_KC)
    kernel_CC = _kernel(mean_KC.shape[1], strength)
    weight_KC = known_KC @ kernel_CC
    total_KC = np.where(known_KC, mean_KC, 0.0) @ kernel_CC
    return np.where(known_KC, total_KC / np.maximum(weight_KC, 1e-300), np.nan)


@lru_cache(maxsize=32)
def _kernel(columns: int, strength: float) -> Floats:
    """Return the weight of column i for column j; cached, as every frame needs it."""
    place = np.arange(columns)
    return strength ** np.abs(place[:, None] - place[None, :]).astype(np.float64)
