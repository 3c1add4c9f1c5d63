"""Curves as dots, and dots as characters, by numpy alone: the work depends on the plot's size only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.canvas import Cells
from cockpit.charts.columns import Flags, Floats
from cockpit.charts.glyphs import Glyphs
from cockpit.charts.scale import Scale

Rows = NDArray[np.int64]


def dot_rows(values_C: Floats, scale: Scale, num_rows: int) -> Rows:
    """The dot row (0 at the top) of values in axis units; values outside the range stand at its edge, NaN at 0."""
    places = np.clip(scale.place(values_C), 0.0, 1.0)
    return np.nan_to_num((1.0 - places) * (num_rows - 1)).round().astype(np.int64)


def runs(low_C: Floats, high_C: Floats, scale: Scale, num_rows: int) -> NDArray[np.bool_]:
    """Dots [rows, C] of one curve: each column a vertical run from least to greatest, joined to its neighbours."""
    drawn_C = ~np.isnan(low_C) & ~np.isnan(high_C)
    top_C, bottom_C = dot_rows(high_C, scale, num_rows), dot_rows(low_C, scale, num_rows)
    both = drawn_C[1:] & drawn_C[:-1]
    first, last = top_C.copy(), bottom_C.copy()
    falls = both & (top_C[1:] - bottom_C[:-1] > 1)
    middle = (bottom_C[:-1] + top_C[1:]) // 2
    last[:-1] = np.where(falls, np.maximum(last[:-1], middle), last[:-1])
    first[1:] = np.where(falls, np.minimum(first[1:], middle + 1), first[1:])
    rises = both & (top_C[:-1] - bottom_C[1:] > 1)
    middle = (bottom_C[1:] + top_C[:-1]) // 2
    first[:-1] = np.where(rises, np.minimum(first[:-1], middle + 1), first[:-1])
    last[1:] = np.where(rises, np.maximum(last[1:], middle), last[1:])
    row = np.arange(num_rows)[:, None]
    return (row >= first) & (row <= last) & drawn_C


def bits(dots: NDArray[np.bool_], glyphs: Glyphs) -> NDArray[np.uint8]:
    """Dots [height x down, width x across] as one number per cell; two curves in a cell are one number OR the other."""
    height, width = dots.shape[0] // glyphs.down, dots.shape[1] // glyphs.across
    total = np.zeros((height, width), np.uint8)
    for row in range(glyphs.down):
        for column in range(glyphs.across):
            part = dots[row :: glyphs.down, column :: glyphs.across]
            total |= part * glyphs.weights[row, column]
    return total


def characters(cells: NDArray[np.uint8], glyphs: Glyphs) -> Cells:
    """The character of each cell; a space where no dot is set."""
    return glyphs.table[cells]


def per_cell(flags_C: Flags, glyphs: Glyphs) -> Flags:
    """Dot columns as cell columns: a cell is flagged where any of its dot columns is."""
    return np.logical_or.reduce(flags_C.reshape(-1, glyphs.across), axis=1)
