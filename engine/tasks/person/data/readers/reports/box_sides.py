"""Percentiles of the widths or heights of boxes, as numbers and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

PERCENTILES: Final = (5, 25, 50, 75, 95)


def percentiles(sides: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the percentiles of the sides; none without a box."""
    return tuple(float(value) for value in np.percentile(sides, PERCENTILES)) if len(sides) else ()


def percentiles_text(values: Sequence[float]) -> str:
    """Return the result of `percentiles` as text."""
    return ", ".join(f"p{share} {value:.0f}" for share, value in zip(PERCENTILES, values, strict=True)) + " pixels"
