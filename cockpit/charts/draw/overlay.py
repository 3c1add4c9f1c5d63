"""Overlays of a plot: the lines of marks, and the cursor."""

from __future__ import annotations

from typing import Final

import numpy as np

from cockpit.charts.annotations.marks import head, ink_of_kind, line
from cockpit.charts.draw.axes import cursor_label
from cockpit.charts.draw.canvas import SPACE, Area, Canvas
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.draw.layout import Layout
from cockpit.charts.inks import Ink
from cockpit.charts.scene import Pane
from cockpit.text.event_info import MarkKind

_CROWDED: Final = 6
"""More than one line of a kind in this many columns would hatch the plot: then only heads are drawn."""


def draw_marks(canvas: Canvas, area: Area, pane: Pane, glyphs: Glyphs) -> None:
    """Draw a vertical line behind the curves for every mark, its head in the highest free cell."""
    if not pane.marks.marks or not area.height:
        return
    kinds_X = pane.marks.per_cell(pane.window, area.width)
    places = np.flatnonzero(kinds_X >= 0)
    if not places.size:
        return
    kinds = kinds_X[places]
    crowded = np.bincount(kinds, minlength=len(MarkKind)) * _CROWDED > max(area.width, 6 * _CROWDED)
    text_YX, style_YX = canvas.cells(area)
    blank = (text_YX[:, places] == SPACE) & (style_YX[:, places] == Ink.BLANK)  # not the blanks inside a level's name
    free = blank | (text_YX[:, places] == ord(glyphs.signs.dash))
    top = np.where(free.any(axis=0), free.argmax(axis=0), area.height // 2)
    lines, heads = ([ord(sign(kind, glyphs.signs)) for kind in MarkKind] for sign in (line, head))
    inks = np.array([ink_of_kind(kind) for kind in MarkKind], np.uint16)[kinds]
    below = blank & (np.arange(area.height)[:, None] > top) & ~crowded[kinds]
    text_YX[:, places] = np.where(below, np.array(lines, np.uint32)[kinds], text_YX[:, places])
    style_YX[:, places] = np.where(below, inks, style_YX[:, places])
    text_YX[top, places], style_YX[top, places] = np.array(heads, np.uint32)[kinds], inks


def draw_cursor(canvas: Canvas, area: Area, pane: Pane, layout: Layout, glyphs: Glyphs) -> None:
    """Draw the cursor's column on its own paper, a line in empty cells, and its step below the axis."""
    assert pane.cursor is not None
    column = pane.window.column(pane.cursor, area.width)
    if not 0 <= column < area.width:
        return
    text_YX, style_YX = canvas.cells(area)
    lines = [SPACE, *(ord(glyph) for glyph in glyphs.signs.lines)]
    empty = np.isin(text_YX[:, column], lines)
    text_YX[empty, column] = ord(glyphs.signs.cursor)
    style_YX[empty, column] = Ink.CURSOR
    bare = style_YX[:, column] < 256
    style_YX[bare, column] += 256 * int(Ink.CURSOR)
    text_YX[~bare, column] = ord(glyphs.signs.cursor)
    style_YX[~bare, column] = style_YX[~bare, column] // 256 * 256 + int(Ink.ON_CURVE)
    label = cursor_label(pane, area, layout)
    if layout.labels and label is not None:
        canvas.write(label[0], area.y + area.height + 1, label[1], Ink.VALUE)
