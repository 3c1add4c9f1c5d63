"""What a mask's numbers look like, each by itself: how large, how solid, how much of the frame's border it has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from engine.tasks.person.data.readers.scenes import Box

THIN: Final = 0.12
"""What is thinner than this share of the shorter side of its bounds is an outline, or dust."""

_LUT_SIZE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class IdFacts:
    """One number of a mask: its pixels, how many of them have four neighbours of the same number, and its bounds.

    `border` is its share of the pixels along the frame.
    """

    id: int
    area: int
    solid: int
    border: float
    box: Box

    @property
    def is_thin(self) -> bool:
        """Whether it is a ring around others, or dust, by its area and its outline's length."""
        left, top, right, bottom = self.box
        return 2 * self.area < THIN * min(right - left, bottom - top) * (self.area - self.solid)

    @property
    def is_dust(self) -> bool:
        """Whether its pixels are scattered: hardly one among its own, over bounds that they do not fill."""
        left, top, right, bottom = self.box
        return self.solid < 0.1 * self.area and self.area < 0.3 * (right - left) * (bottom - top)


def facts_of(ids_HW: NDArray[np.int64]) -> tuple[IdFacts, ...]:
    """Measure every number of a mask, 0 included, in ascending order."""
    present = present_ids(ids_HW)
    places_HW = number(ids_HW, present)
    size = len(present) + 1
    areas = np.bincount(places_HW.reshape(-1), minlength=size)
    solids = np.bincount(places_HW[_is_among_own(ids_HW)], minlength=size)
    rim = np.concatenate([places_HW[0], places_HW[-1], places_HW[:, 0], places_HW[:, -1]])
    borders = np.bincount(rim, minlength=size) / len(rim)
    return tuple(
        IdFacts(present[place - 1], int(areas[place]), int(solids[place]), float(borders[place]), box)
        for place, box in enumerate(boxes_of(places_HW), 1)
    )


def present_ids(ids_HW: NDArray[np.int64]) -> list[int]:
    """The numbers that a mask has, in ascending order."""
    if _is_wild(ids_HW):
        return np.unique(ids_HW).tolist()
    return np.flatnonzero(np.bincount(ids_HW.reshape(-1))).tolist()


def number(ids_HW: NDArray[np.int64], ids: Sequence[int]) -> NDArray[np.int32]:
    """The mask with the sorted `ids` renumbered 1, 2, ... and every other number as 0."""
    if _is_wild(ids_HW):
        known = np.array(ids, dtype=np.int64) if ids else np.array([np.iinfo(np.int64).max])
        places_HW = np.minimum(np.searchsorted(known, ids_HW), len(known) - 1)
        return np.where(known[places_HW] == ids_HW, places_HW + 1, 0).astype(np.int32)
    table = np.zeros(int(ids_HW.max(initial=0)) + 1, dtype=np.int32)
    for place, id_ in enumerate(ids, 1):
        if 0 <= id_ < len(table):
            table[id_] = place
    return table[ids_HW]


def boxes_of(numbers_HW: NDArray[np.int32]) -> tuple[Box, ...]:
    """The bounds of the numbers 1, 2, ... of a mask."""
    return tuple(
        (float(columns.start), float(rows.start), float(columns.stop), float(rows.stop))
        for rows, columns in find_objects(numbers_HW)
    )


def _is_wild(ids_HW: NDArray[np.int64]) -> bool:
    """Whether there are numbers below 0 or too large for a table."""
    return ids_HW.size == 0 or int(ids_HW.min()) < 0 or int(ids_HW.max()) >= _LUT_SIZE


def _is_among_own(ids_HW: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where all four neighbours have the pixel's number; beyond the frame it goes on."""
    same_HW = np.ones(ids_HW.shape, dtype=np.bool_)
    across = ids_HW[:, 1:] == ids_HW[:, :-1]
    down = ids_HW[1:] == ids_HW[:-1]
    same_HW[:, 1:] &= across
    same_HW[:, :-1] &= across
    same_HW[1:] &= down
    same_HW[:-1] &= down
    return same_HW
