"""Heat strips: one row per module, colour and shade by the size of its value on one logarithmic scale."""

from __future__ import annotations

from typing import Final

import numpy as np

from cockpit.charts.axes import Drawn
from cockpit.charts.canvas import Area, Canvas
from cockpit.charts.columns import Floats, band, bridged
from cockpit.charts.glyphs import Glyphs
from cockpit.charts.inks import NUM_HEATS, Ink
from cockpit.charts.scale import Scale
from cockpit.charts.scene import Heat, HeatRow
from cockpit.charts.ticks import compact

_MAX_THICKNESS: Final = 3
_OUTSIDE: Final = 1.5
"""Percent of the values at each end that do not widen the scale."""


def draw_heat(canvas: Canvas, area: Area, body: Heat, glyphs: Glyphs) -> Drawn:
    """As many rows as fit, each as thick as all may be; those left out are counted. Columns: area width."""
    scale = heat_scale(body)
    nan_X, inf_X = np.zeros(area.width, np.bool_), np.zeros(area.width, np.bool_)
    for row in body.rows:
        nan_X, inf_X = nan_X | row.columns.nan_C, inf_X | row.columns.inf_C
    num_rows = len(body.rows)
    thickness = min(max(area.height // max(num_rows, 1), 1), _MAX_THICKNESS)
    shown = num_rows if num_rows * thickness <= area.height else area.height - 1
    labels: list[tuple[int, str]] = []
    for number, row in enumerate(body.rows[:shown]):
        y = number * thickness
        _draw_row(canvas, Area(area.x, area.y + y, area.width, thickness), row, scale, glyphs)
        labels.append((y + (thickness - 1) // 2, row.label))
    if shown < num_rows:
        labels.append((area.height - 1, f"+{num_rows - shown} more"))
    return Drawn(tuple(labels), nan_X, inf_X)


def heat_scale(body: Heat) -> Scale:
    """The logarithmic range of the bulk of all values; those outside take the coldest and the hottest colour."""
    values = np.concatenate([band(row.columns, log=True).high_C for row in body.rows] or [np.empty(0)])
    values = values[~np.isnan(values)]
    if values.size == 0:
        return Scale(-1.0, 0.0, log=True)
    low, high = (float(edge) for edge in np.percentile(values, (_OUTSIDE, 100 - _OUTSIDE)))
    return Scale(low, high, log=True) if high - low > 0.1 else Scale(low - 0.5, high + 0.5, log=True)


def scale_key(scale: Scale, glyphs: Glyphs) -> list[tuple[str, Ink]]:
    """The scale as a legend: its least value, every colour with its shade from cold to hot, its greatest value."""
    steps = [(_shade(level, glyphs) * 2, Ink(Ink.HEAT_0 + level)) for level in range(NUM_HEATS)]
    return [(f"{compact(10**scale.low, 2)} ", Ink.LABEL), *steps, (f" {compact(10**scale.high, 2)}", Ink.LABEL)]


def _shade(level: int, glyphs: Glyphs) -> str:
    return glyphs.shades[1 + level * (len(glyphs.shades) - 1) // NUM_HEATS]


def _draw_row(canvas: Canvas, area: Area, row: HeatRow, scale: Scale, glyphs: Glyphs) -> None:
    value_X: Floats = band(row.columns, log=True).high_C
    broken_X = row.columns.nan_C | row.columns.inf_C
    value_X = bridged(value_X, broken_X)
    known_X = ~np.isnan(value_X)
    level_X = np.clip(np.nan_to_num(scale.place(value_X)) * NUM_HEATS, 0, NUM_HEATS - 1).astype(np.int64)
    shades = np.array([ord(_shade(level, glyphs)) for level in range(NUM_HEATS)], np.uint32)
    text_YX, style_YX = canvas.cells(area)
    text_YX[:, known_X] = shades[level_X[known_X]]
    style_YX[:, known_X] = (257 * (Ink.HEAT_0 + level_X[known_X])).astype(np.uint16)  # ink and paper alike
    text_YX[:, broken_X], style_YX[:, broken_X] = ord(glyphs.signs.nan), Ink.ALERT
