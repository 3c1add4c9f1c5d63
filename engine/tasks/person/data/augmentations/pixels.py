"""Changes of a region's pixels that leave the labels as they are: gray, less sharp, partly hidden."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from engine.tasks.person.data.augmentations.draws import Draws, EraseDraws
from engine.tasks.person.data.augmentations.patch import Patch

SIDES: Final = (0.1, 0.35)
"""Smallest and largest side of the painted rectangle, as fractions of the region's."""

COARSEST: Final = 1 / 3
"""Smallest resolution of a blurred region, as a fraction of its own."""


def make_gray(patch: Patch) -> None:
    """Replace the three colours by their mean."""
    patch.image_3HW[:] = patch.image_3HW.mean(axis=0, keepdims=True)


def blur(patch: Patch, draws: Draws) -> None:
    """Reduce the image to a drawn resolution, and enlarge it again."""
    height, width = patch.sides
    share = COARSEST + (1 - COARSEST) * draws.blur_size
    coarse = max(round(width * share), 2), max(round(height * share), 2)
    image = Image.fromarray((patch.image_3HW * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
    image = image.resize(coarse, Image.Resampling.BILINEAR).resize((width, height), Image.Resampling.BILINEAR)
    patch.image_3HW[:] = np.array(image, dtype=np.float32).transpose(2, 0, 1) / 255


def erase(patch: Patch, draws: EraseDraws) -> None:
    """Paint a rectangle of the image in one colour. A hidden part of a person keeps its class."""
    rows, columns = patch.sides
    width, height = (
        round(whole * (SIDES[0] + (SIDES[1] - SIDES[0]) * side))
        for whole, side in ((columns, draws.width), (rows, draws.height))
    )
    left, top = int(draws.across * (columns - width + 1)), int(draws.down * (rows - height + 1))
    colour_3 = np.array([draws.red, draws.green, draws.blue], dtype=np.float32)
    patch.image_3HW[:, top : top + height, left : left + width] = colour_3[:, None, None]
