"""The network's outputs, and what evaluation does with them: averages over mirrored regions, minimum areas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

OTHER: Final = 2

_BELOW: Final = 1e-3
"""Distance in nats at which class other stays below the best class where it may not win."""


@dataclass(slots=True)
class Outputs:
    """N regions of interest, H x W = mask size. `log_probs` sum to one over the three classes after exp."""

    log_probs_N3HW: Tensor
    auxiliary_N1HW: Tensor
    contour_N1HW: Tensor | None = None
    distance_N1HW: Tensor | None = None


def mirrored(outputs: Outputs) -> Outputs:
    """Return the outputs with left and right exchanged."""
    return Outputs(
        outputs.log_probs_N3HW.flip(-1),
        outputs.auxiliary_N1HW.flip(-1),
        None if outputs.contour_N1HW is None else outputs.contour_N1HW.flip(-1),
        None if outputs.distance_N1HW is None else outputs.distance_N1HW.flip(-1),
    )


def averaged(one: Outputs, other: Outputs) -> Outputs:
    """Return the mean of two outputs of the same regions: of the class probabilities, and of each head's values."""
    return Outputs(
        torch.logaddexp(one.log_probs_N3HW, other.log_probs_N3HW) - math.log(2.0),
        (one.auxiliary_N1HW + other.auxiliary_N1HW) / 2,
        _mean(one.contour_N1HW, other.contour_N1HW),
        _mean(one.distance_N1HW, other.distance_N1HW),
    )


def _mean(one_N1HW: Tensor | None, other_N1HW: Tensor | None) -> Tensor | None:
    return None if one_N1HW is None or other_N1HW is None else (one_N1HW + other_N1HW) / 2


def without_small_other(log_probs_N3HW: Tensor, min_share: float, padding: float) -> Tensor:
    """Return the log-probabilities; in regions with little of class other, it wins nowhere.

    Little is an area of the most probable class below `min_share` of the box. There its probability is lowered to just
    below that of the best class, and the three are normalised again.
    """
    rows = _box_bins(log_probs_N3HW.shape[-2], padding)
    columns = _box_bins(log_probs_N3HW.shape[-1], padding)
    is_other_NHW = log_probs_N3HW[:, :, rows, columns].argmax(1) == OTHER
    is_little_N = is_other_NHW.float().mean((1, 2)) < min_share
    best_N1HW = log_probs_N3HW[:, :OTHER].amax(1, keepdim=True)
    lowered_N1HW = torch.minimum(log_probs_N3HW[:, OTHER:], best_N1HW - _BELOW)
    without_N3HW = F.log_softmax(torch.cat([log_probs_N3HW[:, :OTHER], lowered_N1HW], dim=1), dim=1)
    return torch.where(is_little_N[:, None, None, None], without_N3HW, log_probs_N3HW)


def box_map(shape: tuple[int, int], padding: float) -> Tensor:
    """Return 1.0 for the pixels of a region of `shape` (H, W) that lie in the box, else 0.0: (H, W).

    The box is in the middle, with a context of `padding` of its side on every side.
    """
    height, width = shape
    inside_HW = torch.zeros(height, width)
    inside_HW[_box_bins(height, padding), _box_bins(width, padding)] = 1.0
    return inside_HW


def _box_bins(size: int, padding: float) -> slice:
    """Return the bins of a region whose centre is in the box."""
    start = padding / (1 + 2 * padding) * size
    first = math.ceil(start - 0.5)
    return slice(first, size - first)
