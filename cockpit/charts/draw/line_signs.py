"""Signs over the curves of a chart: outliers, letters, levels and chance levels; and the plot that they share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.columns.band import Band
from cockpit.charts.columns.source import Flags, Floats
from cockpit.charts.draw.canvas import SPACE, Area, Canvas
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.draw.raster import dot_rows, per_cell
from cockpit.charts.inks import Ink, curve_ink, raw_ink
from cockpit.charts.scale import Scale
from cockpit.charts.scene import Curve, Level, LineChart
from cockpit.charts.ticks import narrow
from engine.protocol.record import record

_LETTER_SHIFT: Final = 2
"""A curve's letter is at most this many rows from its end, or left out."""


@record
class LinePlot:
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


def draw_outliers(plot: LinePlot, body: LineChart, part: Band) -> None:
    """Draw an arrow at the edge of every cell with a value beyond it, and the most extreme value next to its arrow."""
    signs = plot.glyphs.signs
    _draw_beyond(plot, body, part.high_KC > plot.scale.high, part.high_KC, (0, signs.above))
    _draw_beyond(plot, body, part.low_KC < plot.scale.low, part.low_KC, (plot.area.height - 1, signs.below))


def _draw_beyond(plot: LinePlot, body: LineChart, beyond_KC: Flags, values_KC: Floats, edge: tuple[int, str]) -> None:
    """Draw the outliers on one side; `edge` is the row of their arrows and the arrow."""
    if not beyond_KC.any():
        return
    row, sign = edge
    text_YX, style_YX = plot.canvas.cells(plot.area)
    for number, curve in enumerate(body.curves):
        beyond_X = per_cell(beyond_KC[number], plot.glyphs)
        text_YX[row, beyond_X], style_YX[row, beyond_X] = ord(sign), curve_ink(curve.slot)
    distance_KC = np.where(beyond_KC, np.abs(values_KC - plot.scale.low), -1.0)
    number, column = divmod(int(np.argmax(distance_KC)), values_KC.shape[1])
    value = float(values_KC[number, column])
    name = narrow(10.0**value if plot.scale.log else value)
    _write_next_to(plot, row, column // plot.glyphs.across, name, curve_ink(body.curves[number].slot))


def _write_next_to(plot: LinePlot, row: int, x: int, text: str, ink: Ink) -> None:
    """Write `text` right or left of a cell, if there are empty cells for it."""
    text_YX, _ = plot.canvas.cells(plot.area)
    for start in (x + 1, x - len(text)):
        room = text_YX[row, max(start, 0) : start + len(text)]
        if room.size == len(text) and (room == SPACE).all():
            plot.canvas.write(plot.area.x + start, plot.area.y + row, text, ink)
            return


def draw_letters(plot: LinePlot, body: LineChart, part: Band) -> None:
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
        moved = zip(places, spread, strict=True)
        for curve, y in ((curve, y) for (_, row, curve), y in moved if abs(y - row) <= _LETTER_SHIFT):
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


def draw_level(plot: LinePlot, level: Level) -> None:
    """Draw a dashed line behind the curves, each piece where it applied, with its name on the last piece."""
    text_YX, _ = plot.canvas.cells(plot.area)
    empty_YX = text_YX == SPACE
    pieces = level.pieces or ((0, level.value),)
    ends = [*(start for start, _ in pieces[1:]), plot.area.width]
    for (start, value), end in zip(pieces, ends, strict=True):
        _draw_piece(plot, slice(start, end), plot.scale.height(value), level.ink)
    if pieces[-1][1] == level.value:
        _name_level(plot, level, pieces[-1][0], empty_YX)


def _draw_piece(plot: LinePlot, columns: slice, place: float, ink: Ink) -> None:
    """Draw a dash in every empty cell of some columns; nothing if the place is off the axis."""
    if not 0 <= place <= 1:
        return
    text_YX, style_YX = plot.canvas.cells(plot.area)
    text_X, style_X = text_YX[plot.row(place), columns], style_YX[plot.row(place), columns]
    free = text_X == SPACE
    text_X[free], style_X[free] = ord(plot.glyphs.signs.dash), ink


def _name_level(plot: LinePlot, level: Level, first: int, empty_YX: NDArray[np.bool_]) -> None:
    """Write a level's name over free cells of its line from column `first` on, or before the line.

    A level off the axis has an arrow.
    """
    place, signs = plot.scale.height(level.value), plot.glyphs.signs
    if math.isnan(place):
        return
    arrow = f" {signs.below}" if place < 0 else f" {signs.above}" if place > 1 else ""
    row = plot.row(min(max(place, 0.0), 1.0))
    names = [f" {text}{arrow} " for text in (level.text, level.short) if text]
    on_line = [(name, start) for name in names for start in (plot.area.width - len(name) - 1, first + 1)]
    before = [(name, first - len(name)) for name in names]  # for a line that begins near the right edge
    places = [*((name, start) for name, start in on_line if start >= first), *before]
    free = (
        (name, start)
        for name, start in places
        if 0 <= start <= plot.area.width - len(name) and empty_YX[row, start : start + len(name)].all()
    )
    for name, start in islice(free, 1):
        plot.canvas.write(plot.area.x + start, plot.area.y + row, name, level.ink)


def draw_chance(plot: LinePlot, curve: Curve) -> None:
    """Draw a curve's chance level as a sparse line in its dim colour; nothing if it is off the axis."""
    place = math.nan if curve.chance is None else plot.scale.height(curve.chance)
    if not 0 <= place <= 1:
        return
    text_YX, style_YX = plot.canvas.cells(plot.area)
    row = plot.row(place)
    spots = np.arange(curve.slot % 4, plot.area.width, 4)
    spots = spots[text_YX[row, spots] == SPACE]
    text_YX[row, spots], style_YX[row, spots] = ord(plot.glyphs.signs.dash), raw_ink(curve.slot)
