"""Crop a region from an image: anti-aliased, sampled at bin centres, with the border repeated outside."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.tasks.person.data.readers.scenes import Box
from engine.tasks.person.data.regions import Sides, height_width


def crop_region(image: Image.Image, region: Box, sides: Sides) -> Tensor:
    """Return RGB (3, H, W) in 0..1 of `region` in `image`, squeezed to H x W = `sides` if it has another shape.

    Bin i of n is centred on left + (i + 0.5) * width / n. A triangle filter two bins wide avoids aliasing of large
    regions; small ones are interpolated linearly. Outside the image, its border pixels are repeated. Pillow runs
    without the interpreter lock: 0.1 to 0.6 ms, a fifth of `grid_sample` with as many samples.
    """
    return torch.from_numpy(np.array(cut_region(image, region, sides))).permute(2, 0, 1).contiguous().float().div_(255)


def cut_region(image: Image.Image, region: Box, sides: Sides) -> Image.Image:
    """Return the region as an image of `sides`, cut like `crop_region`."""
    image, region = _surround(image, region)
    height, width = height_width(sides)
    return image.resize((width, height), Image.Resampling.BILINEAR, box=region)


def _surround(image: Image.Image, region: Box) -> tuple[Image.Image, Box]:
    """Return the image with enough repeated border for the region, and the region in its frame.

    Both are unchanged if the region is inside the image.
    """
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
    """Return the pixels that a crop of the region can read: at least one, plus the reach of the filter."""
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
