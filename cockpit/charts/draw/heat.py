"""Heat strips: one row per module, coloured and shaded by its value on one logarithmic scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from cockpit.charts.columns.band import Band, band, bridged
from cockpit.charts.columns.source import Columns
from cockpit.charts.draw.axes import AxisSpace
from cockpit.charts.draw.canvas import SPACE, Area, Canvas, on_paper
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.inks import NUM_HEATS, Ink
from cockpit.charts.scale import Scale, middle_of
from cockpit.charts.scene import Heat, HeatRow
from cockpit.charts.ticks import compact

_MAX_THICKNESS: Final = 3
_VALUE_WIDTH: Final = 6
_LEAST_NAME: Final = 5
"""A name in fewer columns cannot be told from others: it is shown without its value."""
_OUTSIDE: Final = 1.5
"""Percent of the values at each end that do not widen the scale."""


def draw_heat(canvas: Canvas, area: Area, body: Heat, glyphs: Glyphs, room: int) -> AxisSpace:
    """Draw as many rows as fit, equally thick, and count those left out; labels have `room` characters.

    Columns: area width.
    """
    part = band([row.columns for row in body.rows], area.width, log=True)
    num_rows = len(body.rows)
    thickness = min(max(area.height // max(num_rows, 1), 1), _MAX_THICKNESS)
    shown = num_rows if num_rows * thickness <= area.height else area.height - 1
    labels = [
        (k * thickness + (thickness - 1) // 2, _label(row, room, glyphs)) for k, row in enumerate(body.rows[:shown])
    ]
    if shown < num_rows:
        labels.append((area.height - 1, f"+{num_rows - shown} more"))
    _fill(canvas, Area(area.x, area.y, area.width, shown * thickness), part, body.scale, glyphs)
    return AxisSpace(tuple(labels), part.nan_C, part.inf_C)


def _label(row: HeatRow, room: int, glyphs: Glyphs) -> str:
    """Return a module's name with its value; in little room a cut name, in less the name alone."""
    for_name = room - _VALUE_WIDTH - 1
    name = next((name for name in (row.label, row.short) if len(name) <= for_name), "")
    if not name and for_name < _LEAST_NAME:
        return row.label if len(row.label) <= room else row.short
    return f"{name or glyphs.cut(row.short, for_name):<{for_name}} {row.value:>{_VALUE_WIDTH}}"


def heat_scale(columns: Sequence[Columns], count: int) -> Scale:
    """Return the logarithmic range of most values; those outside have the first or last colour."""
    high_KC = band(columns, count, log=True).high_KC
    ordered = np.sort(high_KC[~np.isnan(high_KC)])
    if ordered.size == 0:
        return Scale(-1.0, 0.0, log=True)
    low, high = middle_of(ordered, _OUTSIDE)
    return Scale(low, high, log=True) if high - low > 0.1 else Scale(low - 0.5, high + 0.5, log=True)


def scale_key(scale: Scale, glyphs: Glyphs) -> list[tuple[str, Ink]]:
    """Return the scale as a legend: its least value, every colour with its shade, its greatest value."""
    steps = [(_shade(level, glyphs) * 2, Ink(Ink.HEAT_0 + level)) for level in range(NUM_HEATS)]
    return [(f"{compact(10**scale.low, 2)} ", Ink.LABEL), *steps, (f" {compact(10**scale.high, 2)}", Ink.LABEL)]


def _shade(level: int, glyphs: Glyphs) -> str:
    return glyphs.shades[1 + level * (len(glyphs.shades) - 1) // NUM_HEATS]


def _fill(canvas: Canvas, area: Area, part: Band, scale: Scale, glyphs: Glyphs) -> None:
    """Fill the area with the rows, spread evenly."""
    value_KX = bridged(part.high_KC, part.broken_KC)
    known_KX = ~np.isnan(value_KX)
    heat_KX = np.where(known_KX, scale.place(value_KX) * NUM_HEATS, 0.0)
    level_KX = np.minimum(np.maximum(heat_KX, 0), NUM_HEATS - 1).astype(np.int64)
    shades = np.array([ord(_shade(level, glyphs)) for level in range(NUM_HEATS)], np.uint32)
    text_KX = np.where(known_KX, shades[level_KX], SPACE)
    style_KX = np.where(known_KX, on_paper(1, 1) * (Ink.HEAT_0 + level_KX), Ink.BLANK)  # ink and paper alike
    text_KX[part.broken_KC], style_KX[part.broken_KC] = ord(glyphs.signs.nan), Ink.ALERT
    rows = np.arange(area.height) * len(value_KX) // max(area.height, 1)
    text_YX, style_YX = canvas.cells(area)
    text_YX[:], style_YX[:] = text_KX[rows], style_KX[rows]
