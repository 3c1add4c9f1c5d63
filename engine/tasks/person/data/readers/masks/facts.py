"""Measure each number of a mask: its size, its solidity, and its share of the frame's border."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from engine.protocol.record import record
from engine.tasks.person.data.readers.scenes import Box

THIN: Final = 0.12
"""An object thinner than this fraction of its shorter side is an outline or dust."""

_LUT_SIZE: Final = 1 << 16


@record
class IdFacts:
    """One number of a mask: its pixels, those with four equal neighbours, and its bounds.

    `border` is its share of the pixels along the frame.
    """

    id: int
    area: int
    solid: int
    border: float
    box: Box

    @property
    def is_thin(self) -> bool:
        """Whether it is a ring around others, or dust, from its area and the length of its outline."""
        left, top, right, bottom = self.box
        return 2 * self.area < THIN * min(right - left, bottom - top) * (self.area - self.solid)

    @property
    def is_dust(self) -> bool:
        """Whether its pixels are scattered: few have equal neighbours, and they do not fill the bounds."""
        left, top, right, bottom = self.box
        return self.solid < 0.1 * self.area and self.area < 0.3 * (right - left) * (bottom - top)


def facts_of(ids_HW: NDArray[np.int64]) -> tuple[IdFacts, ...]:
    """Return the facts of every number of a mask, including 0, in ascending order."""
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
    """Return the numbers of a mask in ascending order."""
    if _is_wild(ids_HW):
        return np.unique(ids_HW).tolist()
    return np.flatnonzero(np.bincount(ids_HW.reshape(-1))).tolist()


def number(ids_HW: NDArray[np.int64], ids: Sequence[int]) -> NDArray[np.int32]:
    """Return the mask with the sorted `ids` renumbered 1, 2, ... and every other number as 0."""
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
    """Return the bounds of the numbers 1, 2, ... of a mask."""
    return tuple(
        (float(columns.start), float(rows.start), float(columns.stop), float(rows.stop))
        for rows, columns in find_objects(numbers_HW)
    )


def _is_wild(ids_HW: NDArray[np.int64]) -> bool:
    """Return whether a number is below 0 or too large for a table."""
    return ids_HW.size == 0 or int(ids_HW.min()) < 0 or int(ids_HW.max()) >= _LUT_SIZE


def _is_among_own(ids_HW: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which pixels have four equal neighbours. The frame's pixels are repeated outside."""
    same_HW = np.ones(ids_HW.shape, dtype=np.bool_)
    across = ids_HW[:, 1:] == ids_HW[:, :-1]
    down = ids_HW[1:] == ids_HW[:-1]
    same_HW[:, 1:] &= across
    same_HW[:, :-1] &= across
    same_HW[1:] &= down
    same_HW[:-1] &= down
    return same_HW
