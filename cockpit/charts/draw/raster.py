"""Curves as dots and dots as characters, by numpy alone: the work depends on the plot's size only."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.columns.source import Flags, Floats
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.scale import Scale

Rows = NDArray[np.int64]

_TALL: Final = 3
"""A column with a taller run of dots is a band, not a line."""


def dot_rows(values: Floats, scale: Scale, num_rows: int) -> Rows:
    """Return the dot rows (0 at the top) of values in axis units, clipped to the range; NaN is at the top."""
    places = np.minimum(np.maximum(scale.place(values), 0.0), 1.0)
    rows = np.rint((1.0 - places) * (num_rows - 1))
    return np.where(np.isnan(rows), 0.0, rows).astype(np.int64)


def runs(low_KC: Floats, high_KC: Floats, scale: Scale, num_rows: int) -> NDArray[np.bool_]:
    """Return dots [K, rows, C] of K curves: each column a run from least to greatest that joins its neighbours."""
    drawn = ~np.isnan(low_KC)
    top, bottom = dot_rows(high_KC, scale, num_rows), dot_rows(low_KC, scale, num_rows)
    first, last = top.copy(), bottom.copy()
    both = drawn[:, 1:] & drawn[:, :-1]
    middle = (bottom[:, :-1] + top[:, 1:]) // 2
    falls = both & (top[:, 1:] - bottom[:, :-1] > 1)
    np.maximum(last[:, :-1], middle, out=last[:, :-1], where=falls)
    np.minimum(first[:, 1:], middle + 1, out=first[:, 1:], where=falls)
    middle = (bottom[:, 1:] + top[:, :-1]) // 2
    rises = both & (top[:, :-1] - bottom[:, 1:] > 1)
    np.minimum(first[:, :-1], middle + 1, out=first[:, :-1], where=rises)
    np.maximum(last[:, 1:], middle, out=last[:, 1:], where=rises)
    last[~drawn] = -1
    row = np.arange(num_rows)[None, :, None]
    return (row >= first[:, None, :]) & (row <= last[:, None, :])


def thinned(dots: NDArray[np.bool_], glyphs: Glyphs) -> NDArray[np.bool_]:
    """Return dots [K, rows, C] with tall runs reduced to their ends and a sparse pattern.

    Curves over such a band stay visible without colours.
    """
    tall_K1C = dots.sum(axis=1, keepdims=True) > _TALL
    row, column = np.arange(dots.shape[1])[:, None], np.arange(dots.shape[2])[None, :]
    step = 2 if glyphs.across > 1 else glyphs.down  # one dot a cell is all that ASCII can tell from a line
    pattern = (row % step == step - 1) & ((column + row // step) % 2 == 0)
    inside = np.zeros_like(dots)
    inside[:, 1:-1] = dots[:, :-2] & dots[:, 2:]
    return dots & ~(inside & tall_K1C & ~pattern)


def bits(dots: NDArray[np.bool_], glyphs: Glyphs) -> NDArray[np.uint8]:
    """Return dots [K, height x down, width x across] as one number per cell; curves in a cell are combined by OR."""
    total = np.zeros((dots.shape[0], dots.shape[1] // glyphs.down, dots.shape[2] // glyphs.across), np.uint8)
    for row in range(glyphs.down):
        for column in range(glyphs.across):
            total |= dots[:, row :: glyphs.down, column :: glyphs.across] * glyphs.weights[row, column]
    return total


def per_cell(flags_C: Flags, glyphs: Glyphs) -> Flags:
    """Return dot columns as cell columns: a cell is flagged if any of its dot columns is."""
    return np.logical_or.reduce(flags_C.reshape(-1, glyphs.across), axis=1)
