"""Curves over a value axis: raw and smoothed, with levels, outliers and their letters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.columns import Band, band, bridged
from cockpit.charts.draw.axes import AxisSpace
from cockpit.charts.draw.canvas import SPACE, Area, Canvas
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.draw.raster import bits, dot_rows, per_cell, runs, thinned
from cockpit.charts.inks import Ink, curve_ink, raw_ink
from cockpit.charts.scale import Scale, robust_scale
from cockpit.charts.scene import Curve, Level, LineChart
from cockpit.charts.smoothing import smoothed
from cockpit.charts.ticks import narrow, value_ticks
from engine.protocol.record import record

_MAX_TICKS: Final = 6
_LETTER_SHIFT: Final = 2
"""A curve's letter is at most this many rows from its end, or left out."""


@record
class _Plot:
    """Inputs that all parts of one drawing share."""

    canvas: Canvas
    area: Area
    scale: Scale
    glyphs: Glyphs

    @property
    def num_rows(self) -> int:
        """Return the number of dot rows."""
        return self.area.height * self.glyphs.down

    def row(self, height: float) -> int:
        """Return the cell row of a place in 0..1."""
        return round((1.0 - height) * (self.num_rows - 1)) // self.glyphs.down


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
    plot = _Plot(canvas, inner, body.locked or _scale(body, part, under), glyphs)
    _draw_curves(plot, body, part)
    _draw_points(plot, body, part)
    if under is not None:
        _draw_under(plot, body, under)
    _draw_outliers(plot, body, part)
    if len(body.curves) > 1:
        _draw_letters(plot, body, part)
    for level in body.levels:
        _draw_level(plot, level)
    for curve in body.curves:
        _draw_chance(plot, curve)
    return AxisSpace(_labels(plot), per_cell(part.nan_C, glyphs), per_cell(part.inf_C, glyphs))


def line_scale(body: LineChart, count: int) -> Scale:
    """Return the range of the value axis for curves of `count` columns."""
    part = band([curve.columns for curve in body.curves], count, log=body.log)
    return _scale(body, part, band([curve.columns for curve in body.under], count, log=body.log))


def _scale(body: LineChart, part: Band, under: Band | None) -> Scale:
    """Return the range for the curves and for those below them."""
    levels = [value for level in body.levels for value in level.values]
    if under is not None and under.low_KC.size:
        low_KC, high_KC = np.concatenate((part.low_KC, under.low_KC)), np.concatenate((part.high_KC, under.high_KC))
        part = replace(part, low_KC=low_KC, high_KC=high_KC)
    return robust_scale(part, log=body.log, levels=levels, bounds=body.bounds)


def _draw_under(plot: _Plot, body: LineChart, under: Band) -> None:
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


def _labels(plot: _Plot) -> tuple[tuple[int, str], ...]:
    ticks = value_ticks(plot.scale, min(max(plot.area.height // 2, 2), _MAX_TICKS))
    return tuple((plot.row(plot.scale.height(value)), label) for value, label in ticks)


def _draw_rug(canvas: Canvas, area: Area, part: Band, glyphs: Glyphs) -> None:
    """Draw a sign in every cell with a value that a log axis cannot show."""
    rug_X = per_cell(part.rug_C, glyphs)
    text_YX, style_YX = canvas.cells(area)
    text_YX[0, rug_X], style_YX[0, rug_X] = ord(glyphs.signs.rug), Ink.ALERT


def _draw_curves(plot: _Plot, body: LineChart, part: Band) -> None:
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
    thin: list[tuple[NDArray[np.uint8], int]] = []
    for curve, raw_YX in zip(body.curves, raw_KYX, strict=True):
        if curve.sparse:
            thin.append((raw_YX, curve.slot))
            continue
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


def _raw_dots(plot: _Plot, body: LineChart, part: Band) -> NDArray[np.bool_]:
    middle_KC = part.low_KC / 2 + part.high_KC / 2  # the sum of two values may be too large for a float
    empty_KC = np.isnan(middle_KC)
    for number, curve in enumerate(body.curves):
        for column, edge in zip((0, -1), curve.edges, strict=True):
            if not math.isnan(edge) and empty_KC[number, column]:
                middle_KC[number, column] = plot.scale.units(edge)
    if not empty_KC.any():
        return runs(part.low_KC, part.high_KC, plot.scale, plot.num_rows)
    middle_KC = bridged(middle_KC, part.broken_KC)
    low_KC, high_KC = np.where(empty_KC, middle_KC, part.low_KC), np.where(empty_KC, middle_KC, part.high_KC)
    return runs(low_KC, high_KC, plot.scale, plot.num_rows)


def _smooth_dots(plot: _Plot, body: LineChart, part: Band) -> NDArray[np.bool_]:
    """Return the dots of the smoothed curves; values outside the axis count as at its edge."""
    held_KC = np.minimum(np.maximum(part.mean_KC, plot.scale.low), plot.scale.high)
    mean_KC = bridged(smoothed(held_KC, body.smoothing), part.broken_KC)
    return runs(mean_KC, mean_KC, plot.scale, plot.num_rows)


def _draw_points(plot: _Plot, body: LineChart, part: Band) -> None:
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


def _draw_outliers(plot: _Plot, body: LineChart, part: Band) -> None:
    """Draw an arrow at the edge of every cell with a value beyond it, and the most extreme value next to its arrow."""
    signs = plot.glyphs.signs
    above_KC, below_KC = part.high_KC > plot.scale.high, part.low_KC < plot.scale.low
    for row, sign, beyond_KC, values_KC in (
        (0, signs.above, above_KC, part.high_KC),
        (plot.area.height - 1, signs.below, below_KC, part.low_KC),
    ):
        if not beyond_KC.any():
            continue
        text_YX, style_YX = plot.canvas.cells(plot.area)
        for number, curve in enumerate(body.curves):
            beyond_X = per_cell(beyond_KC[number], plot.glyphs)
            text_YX[row, beyond_X], style_YX[row, beyond_X] = ord(sign), curve_ink(curve.slot)
        distance_KC = np.where(beyond_KC, np.abs(values_KC - plot.scale.low), -1.0)
        number, column = divmod(int(np.argmax(distance_KC)), values_KC.shape[1])
        value = float(values_KC[number, column])
        name = narrow(10.0**value if plot.scale.log else value)
        _write_next_to(plot, row, column // plot.glyphs.across, name, curve_ink(body.curves[number].slot))


def _write_next_to(plot: _Plot, row: int, x: int, text: str, ink: Ink) -> None:
    """Write `text` right or left of a cell, if there are empty cells for it."""
    text_YX, _ = plot.canvas.cells(plot.area)
    for start in (x + 1, x - len(text)):
        room = text_YX[row, max(start, 0) : start + len(text)]
        if room.size == len(text) and (room == SPACE).all():
            plot.canvas.write(plot.area.x + start, plot.area.y + row, text, ink)
            return


def _draw_letters(plot: _Plot, body: LineChart, part: Band) -> None:
    """Draw each curve's letter after its newest point; letters that share a cell are stacked in the order of values."""
    wanted: dict[int, list[tuple[float, int, Curve]]] = {}
    known_KC = ~np.isnan(part.mean_KC)
    for number, curve in enumerate(body.curves):
        drawn = np.flatnonzero(known_KC[number])
        if drawn.size:
            x = min(int(drawn[-1]) // plot.glyphs.across + 1, plot.area.width - 1)
            last = part.mean_KC[number, drawn[-1:]]
            row = int(dot_rows(last, plot.scale, plot.num_rows)[0]) // plot.glyphs.down
            wanted.setdefault(x, []).append((float(last[0]), row, curve))
    for x, found in wanted.items():
        places = sorted(found[: plot.area.height], key=lambda place: -place[0])
        spread = _spread([row for _, row, _ in places], plot.area.height)
        for (_, row, curve), y in zip(places, spread, strict=True):
            if abs(y - row) <= _LETTER_SHIFT:
                plot.canvas.write(plot.area.x + x, plot.area.y + y, curve.letter, curve_ink(curve.slot))


def _spread(rows: Sequence[int], height: int) -> list[int]:
    """Return rising `rows` (at most `height`), moved down, or up at the end, until all differ."""
    spread: list[int] = []
    for row in rows:
        spread.append(max(row, spread[-1] + 1) if spread else row)
    lowest = height - 1
    for at in reversed(range(len(spread))):
        spread[at] = min(spread[at], lowest)
        lowest = spread[at] - 1
    return spread


def _draw_level(plot: _Plot, level: Level) -> None:
    """Draw a dashed line behind the curves, each piece where it applied, with its name on the last piece."""
    text_YX, _ = plot.canvas.cells(plot.area)
    empty_YX = text_YX == SPACE
    pieces = level.pieces or ((0, level.value),)
    ends = [*(start for start, _ in pieces[1:]), plot.area.width]
    for (start, value), end in zip(pieces, ends, strict=True):
        _draw_piece(plot, slice(start, end), plot.scale.height(value), level.ink)
    if pieces[-1][1] == level.value:
        _name_level(plot, level, pieces[-1][0], empty_YX)


def _draw_piece(plot: _Plot, columns: slice, place: float, ink: Ink) -> None:
    """Draw a dash in every empty cell of some columns; nothing if the place is off the axis."""
    if not 0 <= place <= 1:
        return
    text_YX, style_YX = plot.canvas.cells(plot.area)
    text_X, style_X = text_YX[plot.row(place), columns], style_YX[plot.row(place), columns]
    free = text_X == SPACE
    text_X[free], style_X[free] = ord(plot.glyphs.signs.dash), ink


def _name_level(plot: _Plot, level: Level, first: int, empty_YX: NDArray[np.bool_]) -> None:
    """Write a level's name over free cells of its line from column `first` on, with an arrow if it is off the axis."""
    place, signs = plot.scale.height(level.value), plot.glyphs.signs
    if math.isnan(place):
        return
    arrow = f" {signs.below}" if place < 0 else f" {signs.above}" if place > 1 else ""
    row = plot.row(min(max(place, 0.0), 1.0))
    for name in (f" {text}{arrow} " for text in (level.text, level.short) if text):
        for start in (plot.area.width - len(name) - 1, first + 1):
            if start >= first and empty_YX[row, start : start + len(name)].all():
                plot.canvas.write(plot.area.x + start, plot.area.y + row, name, level.ink)
                return


def _draw_chance(plot: _Plot, curve: Curve) -> None:
    """Draw a curve's chance level as a sparse line in its dim colour; nothing if it is off the axis."""
    place = math.nan if curve.chance is None else plot.scale.height(curve.chance)
    if not 0 <= place <= 1:
        return
    text_YX, style_YX = plot.canvas.cells(plot.area)
    row = plot.row(place)
    spots = np.arange(curve.slot % 4, plot.area.width, 4)
    spots = spots[text_YX[row, spots] == SPACE]
    text_YX[row, spots], style_YX[row, spots] = ord(plot.glyphs.signs.dash), raw_ink(curve.slot)
