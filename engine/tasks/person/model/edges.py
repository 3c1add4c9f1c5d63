"""The gradient magnitude of a map per pixel, with a finite derivative in flat areas."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-6
"""Added under the root. At a flat pixel the slope of sqrt is then finite, which avoids inf * 0 = NaN."""


def gradient_magnitude(x_NCHW: Tensor) -> Tensor:
    """Return the two-sided gradient magnitude per pixel and channel: 0 if flat; differences across the frame are 0.

    sqrt((left^2 + right^2 + up^2 + down^2) / 2 + EPSILON) - sqrt(EPSILON). Both pixels next to a step have the same
    value, and no entry of the derivative exceeds 2 in magnitude.
    """
    across_NCHW = torch.diff(x_NCHW, dim=3).square()
    along_NCHW = torch.diff(x_NCHW, dim=2).square()
    beside_NCHW = F.pad(across_NCHW, (0, 1)) + F.pad(across_NCHW, (1, 0))
    above_NCHW = F.pad(along_NCHW, (0, 0, 0, 1)) + F.pad(along_NCHW, (0, 0, 1, 0))
    return ((beside_NCHW + above_NCHW) / 2 + EPSILON).sqrt() - EPSILON**0.5


def edge_gate(probs_N3HW: Tensor, *, half_at: float = 0.1) -> Tensor:
    """Return a map of class borders: (N, 1, H, W), 0..1. Its scale is fixed, so regions are independent of their batch.

    The gate is 0.5 if half the sum of the class probabilities' gradient magnitudes equals `half_at`.
    """
    edges_N1HW = gradient_magnitude(probs_N3HW).sum(dim=1, keepdim=True) / 2
    return edges_N1HW / (edges_N1HW + half_at)
