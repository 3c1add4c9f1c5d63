"""Augmentation of a cut region with kornia's operations: mirrored, and in another light."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_saturation_with_gray_subtraction,
    shift_rgb,
)
from kornia.geometry.transform import hflip
from torch import Tensor

LOG_FACTOR: Final = 0.35
"""Brightness, contrast and saturation are multiplied by exp(-LOG_FACTOR) to exp(LOG_FACTOR)."""

CAST: Final = 0.06
"""Red, green and blue are each shifted by up to so much; skin must stay skin."""


def augment(
    image_3HW: Tensor, label_HW: Tensor, *, probability: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """The region in another light and colour with `probability`, and mirrored with the same, but at most one half.

    Everything random comes from `rng`, the same number of draws whatever is applied; torch's global generator is left
    alone, so any thread may call this. Of one region at a time every operation stays within its thread.
    """
    mirrored, relit = rng.random(2) < (min(probability, 0.5), probability)
    factors = np.exp(rng.uniform(-LOG_FACTOR, LOG_FACTOR, size=3))
    shifts = rng.uniform(-CAST, CAST, size=3)
    if mirrored:
        image_3HW, label_HW = hflip(image_3HW), hflip(label_HW)
    if relit:
        image_3HW = _relight(image_3HW, factors.tolist(), shifts.tolist())
    return image_3HW.contiguous(), label_HW.contiguous()


def _relight(image_3HW: Tensor, factors: list[float], shifts: list[float]) -> Tensor:
    brightness, contrast, saturation = factors
    red, green, blue = (torch.tensor([shift]) for shift in shifts)
    image_3HW = adjust_brightness_accumulative(image_3HW, brightness)
    image_3HW = adjust_contrast_with_mean_subtraction(image_3HW, contrast)
    image_3HW = adjust_saturation_with_gray_subtraction(image_3HW, saturation)
    return shift_rgb(image_3HW[None], red, green, blue)[0]
