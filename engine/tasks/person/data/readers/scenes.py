"""The interface of every image source: scenes with known boxes that can be read into pixels and masks.

Boxes are (left, top, right, bottom) in pixels of the full image. They are edges, not centres: an image's own box is (0,
0, W, H).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from engine.protocol.record import record
from engine.task import Doubt, Rejection, UnusableSample

Box = tuple[float, float, float, float]
Mask = NDArray[np.bool_]


@record
class PersonMask:
    """One person's box, and the mask cut to its bounds with the first pixel at `column`, `row`."""

    id: str
    box: Box
    column: int
    row: int
    mask_HW: Mask


@record
class Picture:
    """A decoded scene: an 8-bit RGB image and its people, in the order of the scene's boxes."""

    image: Image.Image
    people: tuple[PersonMask, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes in memory; PIL uses four bytes per RGB pixel."""
        width, height = self.image.size
        return 4 * width * height + sum(person.mask_HW.nbytes for person in self.people)


class Scene(Protocol):
    """A picture that is not yet read. `boxes` has an entry per person; `None` marks one that cannot be a target."""

    @property
    def name(self) -> str:
        """The source file's name in problems and sample ids."""
        ...

    @property
    def file(self) -> Path | None:
        """The image file, or `None` for a synthetic picture."""
        ...

    @property
    def boxes(self) -> tuple[Box | None, ...]:
        """The people's boxes, as far as they are known without reading pixels."""
        ...

    def read(self) -> Picture:
        """Decode the image and every mask. Raises UnusableSample if a file is unusable."""
        ...


@record
class SplitIndex:
    """One split of a dataset: scenes with people, problems, doubts, and the number of ignored crowds."""

    scenes: tuple[Scene, ...]
    problems: tuple[Rejection, ...] = ()
    num_images: int = 0
    num_crowds: int = 0
    doubts: tuple[Doubt, ...] = ()


def cut_mask(mask_HW: Mask, *, id: str, box: Box | None = None) -> PersonMask:
    """Return the person of a full-size mask, cut to its bounds.

    If `box` is `None`, the bounds become the box, all zeros for an empty mask.
    """
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    if len(rows) == 0:
        return PersonMask(id, box or (0.0, 0.0, 0.0, 0.0), 0, 0, np.zeros((0, 0), dtype=np.bool_))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    bounds = (float(left), float(top), float(right), float(bottom))
    return PersonMask(id, box or bounds, int(left), int(top), mask_HW[top:bottom, left:right].copy())


def check_target(person: PersonMask) -> None:
    """Check that the person has pixels and that its mask overlaps its box. Raises UnusableSample otherwise."""
    height, width = person.mask_HW.shape
    left, top, right, bottom = person.box
    if height == 0:
        raise UnusableSample(f"person {person.id} has no pixel in its mask")
    is_outside = person.column >= right or person.column + width <= left
    if is_outside or person.row >= bottom or person.row + height <= top:
        raise UnusableSample(f"person {person.id} has its mask outside its box")


def targets_of(scenes: tuple[Scene, ...], min_pixels: float) -> list[tuple[int, int]]:
    """Return (scene, person) of all people whose box is at least `min_pixels` wide and high."""
    return [
        (index, person)
        for index, scene in enumerate(scenes)
        for person, box in enumerate(scene.boxes)
        if box is not None and min(box[2] - box[0], box[3] - box[1]) >= min_pixels
    ]
