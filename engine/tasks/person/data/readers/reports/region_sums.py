"""Sums over the decoded regions of a split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.task import UnusableSample
from engine.tasks.person.data.labels import OTHER, label_region
from engine.tasks.person.data.readers.scenes import Box, Picture, Scene, check_target

_LABEL_SIZE: Final = 64


@dataclass(slots=True)
class RegionSums:
    """Sums over the decoded regions."""

    num_read: int = 0
    bins_3: NDArray[np.int64] = field(default_factory=lambda: np.zeros(3, dtype=np.int64))
    pixels_3: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    people_per_region: list[int] = field(default_factory=list[int])
    other_shares: list[float] = field(default_factory=list[float])
    areas: list[int] = field(default_factory=list[int])

    def add(self, picture: Picture, number: int) -> None:
        """Add the region of a person."""
        person = picture.people[number]
        label_SS = label_region(picture, number, person.box, _LABEL_SIZE)
        counts_3 = np.bincount(label_SS.reshape(-1), minlength=3)
        width, height = person.box[2] - person.box[0], person.box[3] - person.box[1]
        self.bins_3 += counts_3
        self.pixels_3 += counts_3 * (width * height / label_SS.size)
        self.other_shares.append(float(counts_3[OTHER]) / label_SS.size)
        self.people_per_region.append(
            sum(_reaches(other.mask_HW, (other.column, other.row), person.box) for other in picture.people)
        )
        self.areas.append(int(np.count_nonzero(person.mask_HW)))


def sum_regions(
    scenes: Sequence[Scene], targets: Sequence[tuple[int, int]], max_read: int, say: Callable[[str], None]
) -> RegionSums:
    """Decode evenly spaced scenes and return the sums over their regions; unusable ones are passed over."""
    people_of: dict[int, list[int]] = {}
    for scene, person in targets:
        people_of.setdefault(scene, []).append(person)
    sums = RegionSums()
    num_read = min(len(scenes), max_read)
    for turn in range(num_read):
        number = turn * len(scenes) // num_read
        say(f"{turn + 1} of {num_read} images")
        try:
            picture = scenes[number].read()
        except UnusableSample:
            continue
        sums.num_read += 1
        for person in people_of.get(number, []):
            try:
                check_target(picture.people[person])
            except UnusableSample:
                continue
            sums.add(picture, person)
    return sums


def _reaches(mask_HW: NDArray[np.bool_], corner: tuple[int, int], box: Box) -> bool:
    """Return whether a mask has a pixel whose centre is in the box."""
    column, row = corner
    left, right = (max(round(edge) - column, 0) for edge in (box[0], box[2]))
    top, bottom = (max(round(edge) - row, 0) for edge in (box[1], box[3]))
    return bool(mask_HW[top:bottom, left:right].any())
