"""Augment a cut region: mirror it, and change its brightness, contrast, saturation and colour cast."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

LOG_FACTOR: Final = 0.35
"""Brightness, contrast and saturation are multiplied by exp(-LOG_FACTOR) to exp(LOG_FACTOR)."""

CAST: Final = 0.06
"""Maximum shift of red, green and blue each. It is small, so that skin keeps its colour."""

LUMA: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the gray value (ITU-R BT.601)."""


def augment(
    image_3HW: Tensor, label_HW: Tensor, *, probability: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Return the region with changed light and colour with `probability`, and mirrored with at most one half.

    All random numbers come from `rng`, always the same count, so any thread may call this. Torch's global generator is
    not used. On a single region, every operation stays in its thread.
    """
    mirrored, relit = rng.random(2) < (min(probability, 0.5), probability)
    factors = np.exp(rng.uniform(-LOG_FACTOR, LOG_FACTOR, size=3))
    shifts = rng.uniform(-CAST, CAST, size=3)
    if mirrored:
        image_3HW, label_HW = image_3HW.flip(-1).contiguous(), label_HW.flip(-1)
    if relit:
        image_3HW = _relight(image_3HW, factors.tolist(), shifts.tolist())
    return image_3HW.contiguous(), label_HW.contiguous()


def _relight(image_3HW: Tensor, factors: list[float], shifts: list[float]) -> Tensor:
    """Return the image with other brightness, contrast, saturation and colour cast, each clamped to 0..1 in turn.

    The factors are rounded to the image's precision first: the results equal kornia's, bit for bit.
    """
    brightness, contrast, saturation = torch.tensor(factors, dtype=image_3HW.dtype)
    image_3HW = (image_3HW * brightness).clamp(0.0, 1.0)
    mean_1 = _gray(image_3HW).mean((-2, -1), keepdim=True)
    image_3HW = (image_3HW * contrast + mean_1 * (1 - contrast)).clamp(0.0, 1.0)
    image_3HW = ((1 - saturation) * _gray(image_3HW) + saturation * image_3HW).clamp(0.0, 1.0)
    shift_3 = torch.tensor(shifts, dtype=image_3HW.dtype)
    return (image_3HW + shift_3[:, None, None]).clamp(0.0, 1.0)


def _gray(image_3HW: Tensor) -> Tensor:
    """Return the luma of ITU-R BT.601, summed in the order red, green, blue."""
    red, green, blue = image_3HW
    weight_red, weight_green, weight_blue = torch.tensor(LUMA, dtype=image_3HW.dtype)
    return torch.addcmul(torch.addcmul(red * weight_red, green, weight_green), blue, weight_blue)[None]
