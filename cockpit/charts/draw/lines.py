"""Curves over a value axis: raw and smoothed, with levels, outliers and their letters."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.columns.band import Band, band, bridged
from cockpit.charts.columns.smoothing import smoothed
from cockpit.charts.draw.axes import AxisSpace
from cockpit.charts.draw.canvas import SPACE, Area, Canvas
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.draw.line_signs import LinePlot, draw_chance, draw_letters, draw_level, draw_outliers
from cockpit.charts.draw.raster import bits, dot_rows, per_cell, runs, thinned
from cockpit.charts.inks import Ink, curve_ink, raw_ink
from cockpit.charts.scale import Scale, robust_scale
from cockpit.charts.scene import LineChart
from cockpit.charts.ticks import value_ticks

_MAX_TICKS: Final = 6


def draw_lines(canvas: Canvas, area: Area, body: LineChart, glyphs: Glyphs) -> AxisSpace:
    """Draw the curves in `area`; return the content of its axes. Columns: area width x `glyphs.across`."""
    part = band([curve.columns for curve in body.curves], area.width * glyphs.across, log=body.log)
    inner = area
    if part.rug_C.any() and area.height > 1:
        inner = Area(area.x, area.y, area.width, area.height - 1)
        _draw_rug(canvas, Area(area.x, area.y + area.height - 1, area.width, 1), part, glyphs)
    under = (
        band([curve.columns for curve in body.under], area.width * glyphs.across, log=body.log) if body.under else None
    )
    broken = per_cell(part.nan_C, glyphs), per_cell(part.inf_C, glyphs)
    if not (body.has_values or body.locked):
        return AxisSpace((), *broken)
    plot = LinePlot(canvas, inner, body.locked or _scale(body, part, under), glyphs)
    _draw_curves(plot, body, part)
    _draw_points(plot, body, part)
    if under is not None:
        _draw_under(plot, body, under)
    draw_outliers(plot, body, part)
    if len(body.curves) > 1:
        draw_letters(plot, body, part)
    for level in body.levels:
        draw_level(plot, level)
    for curve in body.curves:
        draw_chance(plot, curve)
    return AxisSpace(_labels(plot), *broken)


def line_scale(body: LineChart, count: int) -> Scale:
    """Return the range of the value axis for curves of `count` columns."""
    part = band([curve.columns for curve in body.curves], count, log=body.log)
    return _scale(body, part, band([curve.columns for curve in body.under], count, log=body.log))


def _scale(body: LineChart, part: Band, under: Band | None) -> Scale:
    """Return the range for the curves, with their ends at the window's edges, and for those below them."""
    part = _with_ends(body, part)
    levels = [value for level in body.levels for value in level.values]
    if under is not None and under.low_KC.size:
        low_KC, high_KC = np.concatenate((part.low_KC, under.low_KC)), np.concatenate((part.high_KC, under.high_KC))
        part = replace(part, low_KC=low_KC, high_KC=high_KC)
    return robust_scale(part, log=body.log, levels=levels, bounds=body.bounds)


def _draw_under(plot: LinePlot, body: LineChart, under: Band) -> None:
    """Draw the curves of other runs, smoothed like the chart's own, dotted and in empty cells only."""
    held_KC = np.minimum(np.maximum(under.mean_KC, plot.scale.low), plot.scale.high)
    dense = np.array([not curve.sparse for curve in body.under])
    if body.smoothing and dense.any():
        held_KC[dense] = smoothed(held_KC[dense], body.smoothing)
    middle_KC = bridged(held_KC, under.broken_KC)
    dots = runs(middle_KC, middle_KC, plot.scale, plot.num_rows)
    dots[..., 1::2] = False
    text_YX, style_YX = plot.canvas.cells(plot.area)
    for curve, bits_YX in zip(body.under, bits(dots, plot.glyphs), strict=True):
        free_YX = (bits_YX > 0) & (text_YX == SPACE)
        text_YX[free_YX] = plot.glyphs.table[bits_YX[free_YX]]
        style_YX[free_YX] = raw_ink(curve.slot)


def _labels(plot: LinePlot) -> tuple[tuple[int, str], ...]:
    ticks = value_ticks(plot.scale, min(max(plot.area.height // 2, 2), _MAX_TICKS))
    return tuple((plot.row(plot.scale.height(value)), label) for value, label in ticks)


def _draw_rug(canvas: Canvas, area: Area, part: Band, glyphs: Glyphs) -> None:
    """Draw a sign in every cell with a value that a log axis cannot show."""
    rug_X = per_cell(part.rug_C, glyphs)
    text_YX, style_YX = canvas.cells(area)
    text_YX[0, rug_X], style_YX[0, rug_X] = ord(glyphs.signs.rug), Ink.ALERT


def _draw_curves(plot: LinePlot, body: LineChart, part: Band) -> None:
    """Draw every curve's dots: raw curves merge in a cell, and smoothed and sparse curves cover them."""
    if not body.curves:
        return
    text_YX, style_YX = plot.canvas.cells(plot.area)
    cells_YX = np.zeros((plot.area.height, plot.area.width), np.uint8)
    dots = _raw_dots(plot, body, part)
    if body.smoothing:
        behind = np.array([not curve.sparse for curve in body.curves])
        dots[behind] = thinned(dots[behind], plot.glyphs)
    raw_KYX = bits(dots, plot.glyphs)
    pairs = list(zip(body.curves, raw_KYX, strict=True))
    thin = [(raw_YX, curve.slot) for curve, raw_YX in pairs if curve.sparse]
    for curve, raw_YX in (pair for pair in pairs if not pair[0].sparse):
        cells_YX |= raw_YX
        style_YX[raw_YX > 0] = raw_ink(curve.slot) if body.smoothing else curve_ink(curve.slot)
    if body.smoothing:
        smooth_KYX = bits(_smooth_dots(plot, body, part), plot.glyphs)
        thin += [(smooth_KYX[k], curve.slot) for k, curve in enumerate(body.curves) if not curve.sparse]
    for thin_YX, slot in thin:
        covered_YX = thin_YX > 0
        np.copyto(cells_YX, thin_YX, where=covered_YX)
        style_YX[covered_YX] = curve_ink(slot)
    text_YX[:] = plot.glyphs.table[cells_YX]


def _raw_dots(plot: LinePlot, body: LineChart, part: Band) -> NDArray[np.bool_]:
    part = _with_ends(body, part)
    middle_KC = part.low_KC / 2 + part.high_KC / 2  # the sum of two values may be too large for a float
    empty_KC = np.isnan(middle_KC)
    if not empty_KC.any():
        return runs(part.low_KC, part.high_KC, plot.scale, plot.num_rows)
    middle_KC = bridged(middle_KC, part.broken_KC)
    low_KC, high_KC = np.where(empty_KC, middle_KC, part.low_KC), np.where(empty_KC, middle_KC, part.high_KC)
    return runs(low_KC, high_KC, plot.scale, plot.num_rows)


def _with_ends(body: LineChart, part: Band) -> Band:
    """Return the band with the interpolated ends of sparse curves in the first and last column, if these are empty."""
    low_KC, high_KC = part.low_KC.copy(), part.high_KC.copy()
    axis = Scale(0, 1, body.log)
    ends = (
        (number, column, edge)
        for number, curve in enumerate(body.curves)
        for column, edge in zip((0, -1), curve.edges, strict=True)
        if not math.isnan(edge) and math.isnan(part.low_KC[number, column])
    )
    for number, column, edge in ends:
        low_KC[number, column] = high_KC[number, column] = axis.units(edge)
    return replace(part, low_KC=low_KC, high_KC=high_KC)


def _smooth_dots(plot: LinePlot, body: LineChart, part: Band) -> NDArray[np.bool_]:
    """Return the dots of the smoothed curves; values outside the axis count as at its edge."""
    held_KC = np.minimum(np.maximum(part.mean_KC, plot.scale.low), plot.scale.high)
    mean_KC = bridged(smoothed(held_KC, body.smoothing), part.broken_KC)
    return runs(mean_KC, mean_KC, plot.scale, plot.num_rows)


def _draw_points(plot: LinePlot, body: LineChart, part: Band) -> None:
    """Draw a sign on every point of the sparse curves, unless the points touch each other."""
    text_YX, style_YX = plot.canvas.cells(plot.area)
    for number, curve in enumerate(body.curves):
        if not curve.sparse:
            continue
        points = np.flatnonzero(~np.isnan(part.high_KC[number]))
        if points.size * 3 <= plot.area.width:
            rows = dot_rows(part.high_KC[number, points], plot.scale, plot.num_rows) // plot.glyphs.down
            text_YX[rows, points // plot.glyphs.across] = ord(plot.glyphs.signs.point)
            style_YX[rows, points // plot.glyphs.across] = curve_ink(curve.slot)
