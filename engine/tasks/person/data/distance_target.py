"""The distance target: each pixel's distance to the target's outline, computed from the label without torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

TRUNCATION = 0.25
"""Distance at which the target saturates, as a fraction of the label's longer side."""


def signed_distance(label_HW: NDArray[Any]) -> NDArray[np.float32]:
    """Return the truncated signed Euclidean distance to the target's outline, normalised: float32 (H, W), -1..1.

    It is positive inside the target (label 1) and negative outside. The outline runs between pixel centres, so adjacent
    pixels are at half a pixel. The frame is not an outline: without target all values are -1; with target everywhere
    they are +1.
    """
    inside = np.asarray(label_HW) == 1
    if inside.all() or not inside.any():
        return np.full(inside.shape, 1.0 if inside.all() else -1.0, dtype=np.float32)
    pixels = np.where(inside, _to_the_other(inside) - 0.5, 0.5 - _to_the_other(~inside))
    return np.clip(pixels / (TRUNCATION * max(inside.shape)), -1.0, 1.0).astype(np.float32)


def _to_the_other(region_HW: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(distance_transform_edt(region_HW), dtype=np.float64)
