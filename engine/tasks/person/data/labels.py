"""The label of a region: each bin has the class that covers most of it at full resolution."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from engine.tasks.person.data.readers.scenes import Box, PersonMask, Picture
from engine.tasks.person.data.regions import Sides, height_width

BACKGROUND, TARGET, OTHER = 0, 1, 2


def label_region(picture: Picture, target: int, region: Box, sides: Sides) -> NDArray[np.int64]:
    """Return labels (H, W) of `region`: 1 if person `target` covers most of a bin, 2 if other people do, else 0.

    Overlapping mask pixels belong to the target. Pixels outside the image are background.
    """
    width, height = picture.image.size
    window = _window(region, width, height)
    classes_HW = _paint(picture, target, window)
    covers_CHW = [_coverage(classes_HW == number, window, region, sides) for number in (TARGET, OTHER)]
    rest_HW = 1.0 - covers_CHW[0] - covers_CHW[1]
    return np.stack([rest_HW, *covers_CHW]).argmax(axis=0)


def person_cover(picture: Picture, target: int, region: Box, sides: Sides) -> NDArray[np.float32]:
    """Return the fraction of each bin of `region` that the mask of person `target` covers: H x W = `sides`, 0..1."""
    window = _window(region, *picture.image.size)
    mask_HW = np.zeros((window[3] - window[1], window[2] - window[0]), dtype=np.uint8)
    _paint_person(mask_HW, picture.people[target], window[:2], TARGET)
    return _coverage(mask_HW == TARGET, window, region, sides)


def painted_classes(picture: Picture, target: int, region: Box) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Return the classes of the whole pixels that `region` touches in the image, and the first one's column and row."""
    window = _window(region, *picture.image.size)
    return _paint(picture, target, window), window[:2]


def _window(region: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Return the whole pixels that the region touches: left, top, right, bottom.

    The window is empty if the region is outside the image.
    """
    left, top = min(max(math.floor(region[0]), 0), width), min(max(math.floor(region[1]), 0), height)
    right, bottom = max(min(math.ceil(region[2]), width), left), max(min(math.ceil(region[3]), height), top)
    return left, top, right, bottom


def _paint(picture: Picture, target: int, window: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """Return the classes of the window's pixels, the target painted over the others."""
    left, top, right, bottom = window
    classes_HW = np.zeros((bottom - top, right - left), dtype=np.uint8)
    order = [number for number in range(len(picture.people)) if number != target]
    for number in (*order, target):
        _paint_person(classes_HW, picture.people[number], (left, top), TARGET if number == target else OTHER)
    return classes_HW


def _paint_person(classes_HW: NDArray[np.uint8], person: PersonMask, corner: tuple[int, int], number: int) -> None:
    height, width = classes_HW.shape
    column, row = person.column - corner[0], person.row - corner[1]
    mask_HW = person.mask_HW[max(-row, 0) : max(height - row, 0), max(-column, 0) : max(width - column, 0)]
    row, column = max(row, 0), max(column, 0)
    classes_HW[row : row + mask_HW.shape[0], column : column + mask_HW.shape[1]][mask_HW] = number


def _coverage(
    mask_HW: NDArray[np.bool_], window: tuple[int, int, int, int], region: Box, sides: Sides
) -> NDArray[np.float32]:
    """Return the fraction of each bin's area that the mask covers: H x W = `sides`, 0..1.

    It is exact: the difference of integrals up to the bin edges.
    """
    height, width = height_width(sides)
    if mask_HW.size == 0:
        return np.zeros((height, width), dtype=np.float32)
    columns = np.linspace(region[0], region[2], width + 1) - window[0]
    rows = np.linspace(region[1], region[3], height + 1) - window[1]
    by_row_BW = _integrate(mask_HW.astype(np.float32), rows)
    by_bin_BB = _integrate(np.ascontiguousarray(by_row_BW.T), columns).T
    return (by_bin_BB / ((rows[1] - rows[0]) * (columns[1] - columns[0]))).astype(np.float32)


def _integrate(values_LK: NDArray[np.float32], edges: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return integrals along the first axis between successive `edges`. Each value covers one unit of length."""
    length = len(values_LK)
    sums_LK = np.zeros((length + 1, values_LK.shape[1]), dtype=np.float32)
    np.cumsum(values_LK, axis=0, out=sums_LK[1:])
    inside = np.clip(edges, 0, length)
    below = np.minimum(inside.astype(np.intp), length - 1)
    share_E1 = (inside - below).astype(np.float32)[:, None]
    at_edges_EK = sums_LK[below] * (1 - share_E1) + sums_LK[below + 1] * share_E1
    return (at_edges_EK[1:] - at_edges_EK[:-1]).astype(np.float32, copy=False)
