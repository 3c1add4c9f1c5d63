"""Cutting a region out of an image: anti-aliased, at bin centres, whole, and with the border repeated beyond it."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.tasks.person.data.readers.scenes import Box


def crop_region(image: Image.Image, region: Box, size: int) -> Tensor:
    """RGB (3, size, size) in 0..1 of `region` in `image`, squashed to a square where the region is none.

    Bin i of n is centred on left + (i + 0.5) * width / n; a triangle filter as wide as two bins keeps large regions
    from aliasing, small ones are interpolated linearly. Beyond the image its border pixels are repeated.
    Pillow does this in C without holding the interpreter: 0.1 to 0.6 ms, a fifth of `grid_sample` with as many samples.
    """
    image, region = _surround(image, region)
    cut = image.resize((size, size), Image.Resampling.BILINEAR, box=region)
    return torch.from_numpy(np.array(cut)).permute(2, 0, 1).contiguous().float().div_(255)


def _surround(image: Image.Image, region: Box) -> tuple[Image.Image, Box]:
    """The image with as much border repeated as the region needs, and the region in its frame; as it is if inside."""
    width, height = image.size
    left, top = max(math.ceil(-region[0]), 0), max(math.ceil(-region[1]), 0)
    right, bottom = max(math.ceil(region[2]) - width, 0), max(math.ceil(region[3]) - height, 0)
    if not (left or top or right or bottom):
        return image, region
    window = _near(region, width, height)
    pixels_HW3 = np.asarray(image.crop(window))
    padded = np.pad(pixels_HW3, ((top, bottom), (left, right), (0, 0)), mode="edge")
    x, y = left - window[0], top - window[1]
    return Image.fromarray(padded), (region[0] + x, region[1] + y, region[2] + x, region[3] + y)


def _near(region: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """The image's pixels that a cut of the region can touch: at least one, with the filter's reach around it."""
    reach = math.ceil(max(region[2] - region[0], region[3] - region[1]) / 8) + 2
    left, top = (
        min(max(math.floor(region[0]) - reach, 0), width - 1),
        min(max(math.floor(region[1]) - reach, 0), height - 1),
    )
    right, bottom = (
        max(min(math.ceil(region[2]) + reach, width), left + 1),
        max(min(math.ceil(region[3]) + reach, height), top + 1),
    )
    return left, top, right, bottom
