"""Copy-paste: lay a person of another region into this one, in front of its people or behind them, as class other."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.protocol.record import record
from engine.tasks.person.data.augmentations.draws import PasteDraws, spread
from engine.tasks.person.data.augmentations.patch import Patch
from engine.tasks.person.data.crop import cut_region
from engine.tasks.person.data.labels import OTHER, TARGET
from engine.tasks.person.data.readers.scenes import Box, PersonMask, Picture

LOG_SIZE: Final = 0.4
"""The person gets the size of the target's box, times exp(-LOG_SIZE) to exp(LOG_SIZE)."""

REACH: Final = (0.35, 0.15, 0.4)
"""Maximum distance of the two middles. Across: the first share of the person's width, and half the target's box. Down:
the second share of the person's height, and the third of the box's height."""


@record
class Person:
    """Someone of another picture who can be laid into a region."""

    picture: Picture
    number: int

    @property
    def mask(self) -> PersonMask:
        """The person's mask and box."""
        return self.picture.people[self.number]


@record
class Place:
    """The region's target: its size with and without the context around the box, in pixels of its image."""

    region: tuple[float, float]
    box: tuple[float, float]


def lay(patch: Patch, person: Person, draws: PasteDraws, place: Place, *, visible: float, rotation: float) -> None:
    """Lay the person into the patch, in front or behind as drawn.

    It is laid behind the target if less than `visible` of the target would be seen otherwise.
    """
    mask = person.mask
    height, width = mask.mask_HW.shape
    bounds = (float(mask.column), float(mask.row), float(mask.column + width), float(mask.row + height))
    affine = _affine(draws, place, (width, height), rotation)
    fine = max(*patch.sides, *patch.label_sides)
    whole = Image.fromarray(mask.mask_HW.astype(np.uint8) * 255)
    cover = whole.resize((fine, fine), Image.Resampling.BOX)
    cover_HW = _moved(cover, affine, patch.label_sides)
    painted_HW = cover_HW > 0.5
    is_target_HW = patch.label_HW == TARGET
    num_seen = int((is_target_HW & ~painted_HW).sum())
    if draws.front >= 0.5 or num_seen < visible * int(is_target_HW.sum()):
        free_HW = ~is_target_HW if draws.over_others < 0.5 else patch.label_HW == 0
    else:
        free_HW = np.ones_like(painted_HW)
    alpha_HW = _moved(cover, affine, patch.sides) * patch.at_image_size(free_HW)
    colours_HW3 = np.array(_moved_image(cut_region(person.picture.image, bounds, fine), affine, patch.sides))
    patch.blend(colours_HW3, alpha_HW)
    patch.label_HW[painted_HW & free_HW] = OTHER


Affine = NDArray[np.float64]
"""(2, 3): from a place in the region (0..1 across and down) to one in the person's bounds (0..1)."""


def _affine(draws: PasteDraws, place: Place, size: tuple[int, int], rotation: float) -> Affine:
    """Return where the person comes to lie. Its proportions are kept in the image's pixels."""
    width, height = size
    scale = math.exp(spread(draws.size, LOG_SIZE)) * math.sqrt(place.box[0] * place.box[1] / (width * height))
    reach = (
        REACH[0] * width * scale + place.box[0] / 2,
        REACH[1] * height * scale + REACH[2] * place.box[1],
    )
    middle = np.array([0.5, 0.5]) + np.array(
        [spread(draws.across, reach[0]) / place.region[0], spread(draws.down, reach[1]) / place.region[1]]
    )
    angle = math.radians(spread(draws.angle, rotation))
    cosine, sine = math.cos(angle), math.sin(angle)
    mirror = -1.0 if draws.mirror < 0.5 else 1.0
    turned = np.array([(cosine * mirror, -sine), (sine * mirror, cosine)])
    linear = np.diag([1 / width, 1 / height]) @ turned @ np.diag(place.region) / scale
    return np.column_stack([linear, 0.5 - linear @ middle])


def _moved(cover: Image.Image, affine: Affine, sides: tuple[int, int]) -> NDArray[np.float32]:
    """Return the person's share of each pixel of the region, 0..1."""
    shares_HW: NDArray[np.float32] = np.asarray(_moved_image(cover, affine, sides), dtype=np.float32)
    return shares_HW * np.float32(1 / 255)


def _moved_image(image: Image.Image, affine: Affine, sides: tuple[int, int]) -> Image.Image:
    """Return the region's view, height and width `sides`, of a square image of the person's bounds.

    Outside of the bounds all values are zero.
    """
    height, width = sides
    scaled = affine * image.width
    linear, offset = scaled[:, :2] / (width, height), scaled[:, 2]
    matrix = (linear[0, 0], linear[0, 1], offset[0], linear[1, 0], linear[1, 1], offset[1])
    numbers = tuple(float(number) for number in matrix)
    return image.transform((width, height), Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR)


def place_of(region: Box, box: Box) -> Place:
    """Return the sizes of a region and of the box in it."""
    return Place((region[2] - region[0], region[3] - region[1]), (box[2] - box[0], box[3] - box[1]))
