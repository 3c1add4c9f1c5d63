"""Grey-scale erosion and dilation by a 3x3 square, and bands along outlines.

Shapes in this package: N regions of interest, H x W pixels, 3 classes, 1 for one value per pixel.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def dilated(map_N1HW: Tensor) -> Tensor:
    """Return the largest value in each pixel's 3x3 neighbourhood, ignoring pixels beyond the frame."""
    return F.max_pool2d(map_N1HW, 3, stride=1, padding=1)


def eroded(map_N1HW: Tensor) -> Tensor:
    """Return the smallest value in each pixel's 3x3 neighbourhood, ignoring pixels beyond the frame."""
    return -dilated(-map_N1HW)


def class_band(label_NHW: Tensor) -> Tensor:
    """Return 1.0 if a pixel's 3x3 neighbourhood holds more than one class, else 0.0: float32 (N, 1, H, W).

    The band is two pixels wide, one on each side of a class border. The frame of the region is not a border.
    """
    label_N1HW = label_NHW.unsqueeze(1).float()
    return (dilated(label_N1HW) != eroded(label_N1HW)).float()


def target_contour(label_NHW: Tensor) -> Tensor:
    """Return 1.0 on both sides of the target's outline (label 1), else 0.0: float32 (N, 1, H, W).

    The outline is closed: at the frame of the region, the target's outermost pixels belong to it.
    """
    target_N1HW = (label_NHW == 1).unsqueeze(1).float()
    beyond_frame_is_background = F.pad(target_N1HW, (1, 1, 1, 1))
    return dilated(target_N1HW) - eroded(beyond_frame_is_background)[..., 1:-1, 1:-1]
