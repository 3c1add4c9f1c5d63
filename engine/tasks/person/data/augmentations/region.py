"""Cut one training region with its augmentations, from the numbers drawn for it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from engine.tasks.person.config import AugmentationsConfig
from engine.tasks.person.data.augmentations.draws import Draws, spread
from engine.tasks.person.data.augmentations.patch import Patch
from engine.tasks.person.data.augmentations.people import Person, lay, place_of
from engine.tasks.person.data.augmentations.pixels import blur, erase, make_gray
from engine.tasks.person.data.augmentations.surroundings import replace_surroundings
from engine.tasks.person.data.augmentations.turned import Turn, turn_of
from engine.tasks.person.data.crop import crop_region
from engine.tasks.person.data.labels import label_region, person_cover
from engine.tasks.person.data.readers.scenes import Box
from engine.tasks.person.data.regions import Sides

FindPerson = Callable[[float], Person | None]
"""Return the person that a number in 0..1 names, `None` if the picture cannot be read."""

RegionOf = Callable[[Box], Box]
"""Return the region of a box: with its context, its jitter and its shape."""


def augmented_region(
    target: Person,
    region_of: RegionOf,
    sizes: tuple[Sides, Sides],
    options: AugmentationsConfig,
    draws: Draws,
    find_person: FindPerson,
) -> tuple[Tensor, Tensor]:
    """Return RGB (3, H, W) in 0..1 and labels (H, W) of the target's region, augmented by `options` and `draws`.

    `sizes` are the sides of the image and of the labels.
    """
    angle = math.radians(spread(draws.angle, options.rotation))
    turn = turn_of(target.mask.box, angle)
    box = turn.box_of(target.mask) if angle else target.mask.box
    region = _resized(region_of(box), options, draws)
    patch = _cut(target, region, turn, sizes)
    if draws.background.chance < options.background and (other := find_person(draws.background.person)):
        replace_surroundings(patch, _cover(target, region, turn, sizes[0]), other, draws.background)
    if draws.paste.chance < options.copy_paste and (other := find_person(draws.paste.person)):
        place = place_of(region, box)
        lay(patch, other, draws.paste, place, visible=options.copy_paste_visible, rotation=options.rotation)
    if draws.gray < options.gray:
        make_gray(patch)
    if draws.blur < options.blur:
        blur(patch, draws)
    if draws.erase.chance < options.erasing:
        erase(patch, draws.erase)
    return torch.from_numpy(patch.image_3HW), torch.from_numpy(patch.label_HW)


def _resized(region: Box, options: AugmentationsConfig, draws: Draws) -> Box:
    """Return the region with its drawn scale and shift; unchanged if both are off."""
    if not (options.scale or options.shift):
        return region
    left, top, right, bottom = region
    factor = math.exp(spread(draws.size, options.scale))
    half_width, half_height = factor * (right - left) / 2, factor * (bottom - top) / 2
    x = (left + right) / 2 + spread(draws.across, options.shift) * (right - left)
    y = (top + bottom) / 2 + spread(draws.down, options.shift) * (bottom - top)
    return x - half_width, y - half_height, x + half_width, y + half_height


def _cut(target: Person, region: Box, turn: Turn, sizes: tuple[Sides, Sides]) -> Patch:
    """Return the region before its other changes. Without rotation, it is cut like a region of validation."""
    if not turn.angle:
        image_3HW = crop_region(target.picture.image, region, sizes[0])
        return Patch(image_3HW.numpy(), label_region(target.picture, target.number, region, sizes[1]))
    image_3HW = turn.image(target.picture, region, sizes[0])
    return Patch(image_3HW.numpy(), turn.label(target.picture, target.number, region, sizes[1]))


def _cover(target: Person, region: Box, turn: Turn, sides: Sides) -> np.ndarray:
    """Return the target's share of each pixel of the region, 0..1."""
    if not turn.angle:
        return person_cover(target.picture, target.number, region, sides)
    return turn.cover(target.picture, target.number, region, sides)
