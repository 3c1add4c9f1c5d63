"""Background replacement: put the target into a part of another training image, whose people become others."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.tasks.person.data.augmentations.draws import BackgroundDraws, spread
from engine.tasks.person.data.augmentations.patch import Patch
from engine.tasks.person.data.augmentations.people import Person
from engine.tasks.person.data.crop import cut_region
from engine.tasks.person.data.labels import OTHER, TARGET, label_region
from engine.tasks.person.data.readers.scenes import Box

LOG_SIZE: Final = 0.6
"""The part of the other image is as large as its person's box, times exp(-LOG_SIZE) to exp(LOG_SIZE)."""

REACH: Final = 1.0
"""Maximum distance of the part's middle from that of the person's box, in sides of the box."""


def replace_surroundings(patch: Patch, cover_HW: NDArray[np.float32], person: Person, draws: BackgroundDraws) -> None:
    """Replace all but the target by a part of the person's picture. `cover_HW` is the target's share of each pixel.

    `cover_HW` has the image's size, and values in 0..1.
    """
    window = _window(person, draws)
    colours_HW3 = np.array(cut_region(person.picture.image, window, patch.sides))
    label_HW = label_region(person.picture, person.number, window, patch.label_sides)
    if draws.mirror < 0.5:
        colours_HW3, label_HW = colours_HW3[:, ::-1], label_HW[:, ::-1]
    patch.blend(colours_HW3, 1 - cover_HW)
    is_target_HW = patch.label_HW == TARGET
    patch.label_HW[:] = np.where(is_target_HW, TARGET, np.where(label_HW > 0, OTHER, 0))


def _window(person: Person, draws: BackgroundDraws) -> Box:
    """Return a part of the picture near the person, inside the image as far as it fits."""
    left, top, right, bottom = person.mask.box
    factor = math.exp(spread(draws.size, LOG_SIZE))
    spans = zip(((left, right), (top, bottom)), (draws.across, draws.down), person.picture.image.size, strict=True)
    (x0, x1), (y0, y1) = (_span(*ends, factor, value, length) for ends, value, length in spans)
    return x0, y0, x1, y1


def _span(low: float, high: float, factor: float, value: float, length: int) -> tuple[float, float]:
    """Return one axis of the part: moved by `value` (0..1), then pushed inside 0..length."""
    side = high - low
    half = min(factor * side, length) / 2
    middle = (low + high) / 2 + spread(value, REACH * side)
    middle = min(max(middle, half), length - half)
    return middle - half, middle + half
