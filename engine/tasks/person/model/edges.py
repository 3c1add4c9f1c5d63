"""How steeply a map changes at each pixel, safe to differentiate where it does not change at all."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EPSILON = 1e-6
"""Under the root: at a flat pixel the slope of sqrt is then finite and meets a zero, instead of inf * 0 = NaN."""


def gradient_magnitude(x_NCHW: Tensor) -> Tensor:
    """The two-sided gradient magnitude per pixel and channel, 0 where flat; differences across the frame count as 0.

    sqrt((left^2 + right^2 + up^2 + down^2) / 2 + EPSILON) - sqrt(EPSILON): both pixels beside a step see it alike,
    and no entry of its derivative exceeds 2 in magnitude.
    """
    across_NCHW = torch.diff(x_NCHW, dim=3).square()
    along_NCHW = torch.diff(x_NCHW, dim=2).square()
    beside_NCHW = F.pad(across_NCHW, (0, 1)) + F.pad(across_NCHW, (1, 0))
    above_NCHW = F.pad(along_NCHW, (0, 0, 0, 1)) + F.pad(along_NCHW, (0, 0, 1, 0))
    return ((beside_NCHW + above_NCHW) / 2 + EPSILON).sqrt() - EPSILON**0.5


def edge_gate(probs_N3HW: Tensor, *, half_at: float = 0.1) -> Tensor:
    """Where the classes meet: (N, 1, H, W) in 0..1 on a fixed scale, so that no region depends on its batch.

    The gate is a half where the class probabilities' gradient magnitudes, summed and halved, reach `half_at`.
    """
    edges_N1HW = gradient_magnitude(probs_N3HW).sum(dim=1, keepdim=True) / 2
    return edges_N1HW / (edges_N1HW + half_at)
