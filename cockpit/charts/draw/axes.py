"""Axes: value labels left of a plot, and the line below it with steps and signs for NaN and Inf."""

from __future__ import annotations

import numpy as np

from cockpit.charts.columns.source import Flags
from cockpit.charts.columns.window import ColumnWindow, StepAxis
from cockpit.charts.draw.canvas import Area, Canvas
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.draw.layout import Layout
from cockpit.charts.inks import Ink
from cockpit.charts.scene import Pane
from cockpit.charts.ticks import place_label, place_ticks, round_values, step_label
from engine.protocol.record import record


@record
class AxisSpace:
    """Content of a plot's axes: (row, label) pairs, and the cells that hold a NaN or an infinity."""

    labels: tuple[tuple[int, str], ...]
    nan_X: Flags
    inf_X: Flags
    ink: Ink = Ink.LABEL


def draw_axes(canvas: Canvas, area: Area, drawn: AxisSpace, layout: Layout, glyphs: Glyphs) -> None:
    """Draw the vertical axis with its labels, and the horizontal line with a sign in every NaN or Inf cell."""
    if layout.gutter:
        _draw_value_axis(canvas, area, drawn, layout.gutter - 1, glyphs)
    y = area.y + area.height
    if layout.axis:
        canvas.write(area.x, y, glyphs.frame.across * area.width, Ink.FAINT)
    if layout.axis and layout.gutter:
        canvas.write(area.x - 1, y, glyphs.frame.corner, Ink.FAINT)
    for x in np.flatnonzero(drawn.nan_X | drawn.inf_X).tolist():
        sign = _sign(bool(drawn.nan_X[x]), bool(drawn.inf_X[x]), glyphs)
        canvas.write(area.x + x, y if layout.axis else y - 1, sign, Ink.ALERT)


def _sign(nan: bool, inf: bool, glyphs: Glyphs) -> str:
    signs = glyphs.signs
    if nan and inf:
        return signs.nan_and_inf
    return signs.nan if nan else signs.inf


def _draw_value_axis(canvas: Canvas, area: Area, drawn: AxisSpace, room: int, glyphs: Glyphs) -> None:
    """Draw the vertical line, a tick for each label, and the labels in `room` cells."""
    x = area.x - 1
    canvas.column(x, area.y, area.height, glyphs.frame.down, Ink.FAINT)
    for row, label in drawn.labels:
        text = glyphs.cut(label, room)
        canvas.write(x - len(text), area.y + row, text, drawn.ink)
        canvas.write(x, area.y + row, glyphs.frame.tick_y, Ink.FAINT)


def draw_steps(canvas: Canvas, area: Area, pane: Pane, layout: Layout, glyphs: Glyphs) -> None:
    """Draw ticks on the free part of the horizontal line, and the steps below them."""
    y = area.y + area.height
    free_until = area.x - layout.gutter
    taken = cursor_label(pane, area, layout)
    for column, text in _ticks(pane.window, area.width):
        if not 0 <= column < area.width:
            continue
        if canvas.text_YX[y, area.x + column] == ord(glyphs.frame.across):
            canvas.write(area.x + column, y, glyphs.frame.tick_x, Ink.FAINT)
        x = centred(text, column, area, layout)
        clear = taken is None or x >= taken[0] + len(taken[1]) or x + len(text) <= taken[0]
        if layout.labels and x >= free_until and clear:
            free_until = canvas.write(x, y + 1, text, Ink.LABEL) + 2


def centred(text: str, column: int, area: Area, layout: Layout) -> int:
    """Return the column where `text` below a column of a plot begins, held within plot and gutter."""
    return min(max(area.x + column - len(text) // 2, area.x - layout.gutter), area.x + area.width - len(text))


def cursor_label(pane: Pane, area: Area, layout: Layout) -> tuple[int, str] | None:
    """Return the column and the text of the cursor's step; `None` while the plot does not show the cursor."""
    column = -1 if pane.cursor is None else pane.window.column(pane.cursor, area.width)
    if pane.cursor is None or not 0 <= column < area.width:
        return None
    text = f" {place_text(pane.window.axis, pane.cursor)} "
    return centred(text, column, area, layout), text


def place_text(axis: StepAxis | None, step: float) -> str:
    """Return the label of a step on an axis; `None` is the axis of steps."""
    return step_label(step) if axis is None else place_label(axis.kind, axis.place(step))


def _ticks(window: ColumnWindow, width: int) -> list[tuple[int, str]]:
    """Return the columns of a plot with a tick, and the label of each."""
    room = max(width // (len(place_text(window.axis, window.end)) + 3), 2)
    if window.axis is None:
        return [(window.column(step, width), step_label(step)) for step in step_ticks(window, room)]
    left, right = window.limits
    scale = width / max(right - left, 1e-9)
    ticks = place_ticks(window.axis.kind, left, right, room)
    return [(int((place - left) * scale + 1e-9), text) for place, text in ticks]


def step_ticks(window: ColumnWindow, count: int) -> list[float]:
    """Return round whole steps inside the window, at most about `count`."""
    values = round_values(window.first, window.end, count)
    return sorted({float(round(value)) for value in values if window.first <= round(value) < window.end})
