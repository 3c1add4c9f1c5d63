"""Shares of a whole over time, as stacked bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.columns.band import band, bridged
from cockpit.charts.columns.source import Floats
from cockpit.charts.draw.axes import AxisSpace
from cockpit.charts.draw.canvas import Area, Canvas, on_paper
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.inks import Ink, curve_ink
from cockpit.charts.scene import Curve, Stack

_Levels = NDArray[np.int64]


def draw_stack(canvas: Canvas, area: Area, body: Stack, glyphs: Glyphs) -> AxisSpace:
    """Draw the bands in `area`, the first curve at the bottom; columns without a value stay empty.

    The curves have one column per cell of the area.
    """
    part = band([curve.columns for curve in body.curves], area.width, log=False)
    share_KX = shares(part.mean_KC)
    if body.curves:
        _fill(canvas, area, body.curves, _tops(share_KX, area.height * len(glyphs.eighths)), glyphs)
    labels = ((0, "100 %"), ((area.height - 1) // 2, "50 %"), (area.height - 1, "0 %"))
    return AxisSpace(labels if area.height >= 3 else labels[:1], part.nan_C, part.inf_C)


def shares(mean_KX: Floats) -> Floats:
    """Return each of K curves' share in the sum of absolute values, [K, X]; NaN in columns without a value."""
    if not mean_KX.size:
        return mean_KX
    sizes_KX = np.abs(bridged(mean_KX, np.zeros(mean_KX.shape, np.bool_)))
    known_X = ~np.isnan(sizes_KX).all(axis=0)
    sizes_KX = np.where(np.isnan(sizes_KX), 0.0, sizes_KX)
    largest_X = np.maximum(sizes_KX.max(axis=0), 1e-300)
    parts_KX = sizes_KX / largest_X
    total_X = parts_KX.sum(axis=0)
    return np.where(known_X & (total_X > 0), parts_KX / np.maximum(total_X, 1e-300), np.nan)


def _tops(share_KX: Floats, units: int) -> _Levels:
    """Return the upper end of every band in `units` of the plot's height, -1 in columns without a value."""
    tops_KX = np.cumsum(share_KX, axis=0) * units
    return np.where(np.isnan(tops_KX), -1.0, np.rint(tops_KX)).astype(np.int64)


def _fill(canvas: Canvas, area: Area, curves: tuple[Curve, ...], tops_KX: _Levels, glyphs: Glyphs) -> None:
    grain = len(glyphs.eighths)
    known_X = tops_KX[-1] >= 0
    start_Y1 = (np.arange(area.height)[::-1] * grain)[:, None]
    lower_YX = np.minimum((tops_KX[:, None, :] <= start_Y1).sum(axis=0), len(curves) - 1)
    upper_YX = np.minimum((tops_KX[:, None, :] <= start_Y1 + grain - 1).sum(axis=0), len(curves) - 1)
    filled_YX = np.take_along_axis(tops_KX, lower_YX, axis=0) - start_Y1
    solid = np.array([ord(glyphs.fills[curve.slot % len(glyphs.fills)]) for curve in curves], np.uint32)
    partial = np.array([ord(glyph) for glyph in glyphs.eighths], np.uint32)
    inks = np.array([curve_ink(curve.slot) for curve in curves], np.uint16)
    split_YX = lower_YX != upper_YX
    text_YX, style_YX = canvas.cells(area)
    drawn = np.where(split_YX, partial[np.clip(filled_YX - 1, 0, grain - 1)], solid[lower_YX])
    style = inks[lower_YX] + 256 * inks[upper_YX]
    text_YX[:, known_X] = drawn[:, known_X]
    style_YX[:, known_X] = style[:, known_X]
    _name(canvas, area, curves, tops_KX, grain)


def _name(canvas: Canvas, area: Area, curves: tuple[Curve, ...], tops_KX: _Levels, grain: int) -> None:
    """Write each band's letter at intervals, if the band is at least a row thick."""
    for number, curve in enumerate(curves):
        top_X = tops_KX[number]
        bottom_X = tops_KX[number - 1] if number else np.zeros_like(top_X)
        is_thick_X = (top_X >= 0) & (top_X - bottom_X >= grain)
        for x in (x for x in range(3 + 2 * number, area.width, 24) if is_thick_X[x]):
            row = area.height - 1 - int(top_X[x] + bottom_X[x]) // 2 // grain
            y = min(max(row, 0), area.height - 1)
            canvas.write(area.x + x, area.y + y, curve.letter, Ink.ON_CURVE)
            canvas.style_YX[area.y + y, area.x + x] = on_paper(Ink.ON_CURVE, curve_ink(curve.slot))
