"""Augmentation of a cut region with kornia's operations: mirrored, and in another light."""

from __future__ import annotations

import numpy as np
import torch
from kornia.enhance import (
    adjust_brightness_accumulative,
    adjust_contrast_with_mean_subtraction,
    adjust_hue,
    adjust_saturation_with_gray_subtraction,
)
from kornia.geometry.transform import hflip
from torch import Tensor

MAX_HUE_TURN = 0.2
"""Radians of the colour circle; skin must stay skin."""


def augment(
    image_3HW: Tensor, label_HW: Tensor, *, probability: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """The region in another light and colour with `probability`, and mirrored with the same, but at most one half.

    Everything random comes from `rng`, the same number of draws whatever is applied; torch's global generator is left
    alone, so any thread may call this.
    """
    mirrored, relit = rng.random(2) < (min(probability, 0.5), probability)
    brightness, contrast, saturation = (float(factor) for factor in np.exp(rng.uniform(-0.35, 0.35, size=3)))
    turn = float(rng.uniform(-MAX_HUE_TURN, MAX_HUE_TURN))
    if mirrored:
        image_3HW, label_HW = hflip(image_3HW), hflip(label_HW)
    if relit:
        image_3HW = adjust_brightness_accumulative(image_3HW, brightness)
        image_3HW = adjust_contrast_with_mean_subtraction(image_3HW, contrast)
        image_3HW = adjust_saturation_with_gray_subtraction(image_3HW, saturation)
        image_3HW = adjust_hue(image_3HW, torch.tensor(turn))
    return image_3HW.contiguous(), label_HW.contiguous()
