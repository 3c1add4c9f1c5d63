"""Curves over a value axis: raw and smoothed, with levels, outliers and their letters."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.axes import Drawn
from cockpit.charts.canvas import SPACE, Area, Canvas
from cockpit.charts.columns import Band, Flags, band, bridged
from cockpit.charts.glyphs import Glyphs
from cockpit.charts.inks import Ink, curve_ink, raw_ink
from cockpit.charts.raster import bits, characters, dot_rows, per_cell, runs
from cockpit.charts.scale import Scale, robust_scale
from cockpit.charts.scene import Curve, Level, Lines
from cockpit.charts.smoothing import smoothed
from cockpit.charts.ticks import narrow, value_ticks


def draw_lines(canvas: Canvas, area: Area, body: Lines, glyphs: Glyphs) -> Drawn:
    """The curves in `area`; says which labels and signs belong on its axes. Columns: area width x `glyphs.across`."""
    bands = [band(curve.columns, log=body.log) for curve in body.curves]
    rug_X = per_cell(_any([part.rug_C for part in bands], area.width * glyphs.across), glyphs)
    plot = area
    if rug_X.any() and area.height > 1:
        plot = Area(area.x, area.y, area.width, area.height - 1)
        text_YX, style_YX = canvas.cells(Area(area.x, area.y + area.height - 1, area.width, 1))
        text_YX[0, rug_X], style_YX[0, rug_X] = ord(glyphs.signs.rug), Ink.ALERT
    levels = [level.value for level in body.levels]
    scale = robust_scale(bands, log=body.log, levels=levels, bounds=body.bounds)
    _draw_curves(canvas, plot, body, bands, scale, glyphs)
    for curve, part in zip(body.curves, bands, strict=True):
        _draw_outliers(canvas, plot, curve, part, scale, glyphs)
    if len(body.curves) > 1:
        _draw_letters(canvas, plot, body, bands, scale, glyphs)
    for level in body.levels:
        _draw_level(canvas, plot, level, scale, glyphs)
    for curve in body.curves:
        if curve.chance is not None:
            _draw_chance(canvas, plot, curve, scale, glyphs)
    columns = area.width * glyphs.across
    return Drawn(
        _labels(scale, plot, glyphs),
        per_cell(_any([curve.columns.nan_C for curve in body.curves], columns), glyphs),
        per_cell(_any([curve.columns.inf_C for curve in body.curves], columns), glyphs),
    )


def _any(flags: list[Flags], columns: int) -> Flags:
    return np.logical_or.reduce(flags) if flags else np.zeros(columns, np.bool_)


def _labels(scale: Scale, area: Area, glyphs: Glyphs) -> tuple[tuple[int, str], ...]:
    ticks = value_ticks(scale, max(area.height // 2, 2))
    return tuple((_row(scale.height(value), area, glyphs), label) for value, label in ticks)


def _row(height: float, area: Area, glyphs: Glyphs) -> int:
    """The cell row of a place in 0..1."""
    return round((1.0 - height) * (area.height * glyphs.down - 1)) // glyphs.down


def _draw_curves(canvas: Canvas, area: Area, body: Lines, bands: list[Band], scale: Scale, glyphs: Glyphs) -> None:
    """Every curve's dots. Two raw curves in a cell are drawn both; what is thin, smoothed or sparse, lies over them."""
    cells_YX = np.zeros((area.height, area.width), np.uint8)
    text_YX, style_YX = canvas.cells(area)
    num_rows = area.height * glyphs.down
    thin: list[tuple[NDArray[np.uint8], int]] = []
    for curve, part in zip(body.curves, bands, strict=True):
        broken_C = curve.columns.nan_C | curve.columns.inf_C
        raw_YX = bits(_raw_dots(part, curve, scale, num_rows), glyphs)
        if curve.sparse:
            thin.append((raw_YX, curve.slot))
            continue
        cells_YX |= raw_YX
        style_YX[raw_YX > 0] = raw_ink(curve.slot) if body.smoothing else curve_ink(curve.slot)
        if body.smoothing:
            held_C = np.clip(part.mean_C, scale.low, scale.high)  # one outlier would bend the average for long
            mean_C = bridged(smoothed(held_C, body.smoothing), broken_C)
            thin.append((bits(runs(mean_C, mean_C, scale, num_rows), glyphs), curve.slot))
    for thin_YX, slot in thin:
        covered_YX = thin_YX > 0
        cells_YX[covered_YX], style_YX[covered_YX] = thin_YX[covered_YX], curve_ink(slot)
    text_YX[:] = characters(cells_YX, glyphs)
    for curve, part in zip(body.curves, bands, strict=True):
        if curve.sparse:
            _draw_points(canvas, area, curve, part, scale, glyphs)


def _raw_dots(part: Band, curve: Curve, scale: Scale, num_rows: int) -> NDArray[np.bool_]:
    middle_C = (part.low_C + part.high_C) / 2
    for column, edge in zip((0, -1), curve.edges, strict=True):
        if middle_C.size and np.isnan(middle_C[column]) and not math.isnan(edge):
            middle_C[column] = scale.units(edge)
    middle_C = bridged(middle_C, curve.columns.nan_C | curve.columns.inf_C)
    empty_C = np.isnan(part.low_C)
    return runs(np.where(empty_C, middle_C, part.low_C), np.where(empty_C, middle_C, part.high_C), scale, num_rows)


def _draw_points(canvas: Canvas, area: Area, curve: Curve, part: Band, scale: Scale, glyphs: Glyphs) -> None:
    """A dot on every measured point, as long as they do not touch each other."""
    points = np.flatnonzero(~np.isnan(part.high_C))
    if points.size * 3 > area.width:
        return
    rows = dot_rows(part.high_C[points], scale, area.height * glyphs.down) // glyphs.down
    text_YX, style_YX = canvas.cells(area)
    text_YX[rows, points // glyphs.across] = ord(glyphs.signs.point)
    style_YX[rows, points // glyphs.across] = curve_ink(curve.slot)


def _draw_outliers(canvas: Canvas, area: Area, curve: Curve, part: Band, scale: Scale, glyphs: Glyphs) -> None:
    """An arrow at the edge of every cell with a value beyond it, and the most extreme value beside its arrow."""
    text_YX, style_YX = canvas.cells(area)
    for row, beyond_C, sign in (
        (0, np.where(part.high_C > scale.high, part.high_C, np.nan), glyphs.signs.above),
        (area.height - 1, np.where(part.low_C < scale.low, part.low_C, np.nan), glyphs.signs.below),
    ):
        if np.isnan(beyond_C).all():
            continue
        beyond_X = per_cell(~np.isnan(beyond_C), glyphs)
        text_YX[row, beyond_X], style_YX[row, beyond_X] = ord(sign), curve_ink(curve.slot)
        most = int(np.nanargmax(np.abs(beyond_C - scale.low)))
        text = narrow(10.0 ** float(beyond_C[most]) if scale.log else float(beyond_C[most]))
        x = most // glyphs.across
        for start in (x + 1, x - len(text)):
            if (
                start >= 0
                and start + len(text) <= area.width
                and (text_YX[row, start : start + len(text)] == SPACE).all()
            ):
                canvas.write(area.x + start, area.y + row, text, curve_ink(curve.slot))
                break


def _draw_letters(canvas: Canvas, area: Area, body: Lines, bands: list[Band], scale: Scale, glyphs: Glyphs) -> None:
    """Each curve's letter behind its newest point, a row up or down where another stands there already."""
    taken: set[tuple[int, int]] = set()
    for curve, part in zip(body.curves, bands, strict=True):
        drawn = np.flatnonzero(~np.isnan(part.mean_C))
        if not drawn.size:
            continue
        x = min(int(drawn[-1]) // glyphs.across + 1, area.width - 1)
        row = int(dot_rows(part.mean_C[drawn[-1:]], scale, area.height * glyphs.down)[0]) // glyphs.down
        for y in (row, row + 1, row - 1, row + 2, row - 2):
            if 0 <= y < area.height and (x, y) not in taken:
                taken.add((x, y))
                canvas.write(area.x + x, area.y + y, curve.letter, curve_ink(curve.slot))
                break


def _draw_level(canvas: Canvas, area: Area, level: Level, scale: Scale, glyphs: Glyphs) -> None:
    """A dashed line behind the curves with its name at the end that is free; a name with an arrow where it is off."""
    place = scale.height(level.value)
    if math.isnan(place):
        return
    text_YX, style_YX = canvas.cells(area)
    if 0 <= place <= 1:
        row, name = _row(place, area, glyphs), f" {level.text} "
        free = text_YX[row] == SPACE
        text_YX[row, free], style_YX[row, free] = ord(glyphs.signs.dash), level.ink
    else:
        row = 0 if place > 1 else area.height - 1
        name = f" {level.text} {glyphs.signs.above if place > 1 else glyphs.signs.below} "
        free = text_YX[row] == SPACE
    for start in (area.width - len(name) - 1, 1):
        if start >= 0 and free[start : start + len(name)].all():
            canvas.write(area.x + start, area.y + row, name, level.ink)
            return


def _draw_chance(canvas: Canvas, area: Area, curve: Curve, scale: Scale, glyphs: Glyphs) -> None:
    """A curve's chance level as a sparse line in its dim colour; nothing where it is off the axis."""
    place = scale.height(curve.chance) if curve.chance is not None else math.nan
    if not 0 <= place <= 1:
        return
    text_YX, style_YX = canvas.cells(area)
    row = _row(place, area, glyphs)
    spots = np.arange(curve.slot % 4, area.width, 4)
    spots = spots[text_YX[row, spots] == SPACE]
    text_YX[row, spots], style_YX[row, spots] = ord(glyphs.signs.dash), raw_ink(curve.slot)
