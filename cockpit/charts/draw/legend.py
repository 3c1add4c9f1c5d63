"""The title in a chart's frame, and the lines that name every curve with its value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cockpit.charts.draw.canvas import Area, Canvas
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.inks import Ink, curve_ink
from cockpit.charts.scene import ChartScene, LegendItem
from engine.protocol.record import record

Piece = tuple[str, Ink]
"""Text in one colour."""
_LEFT_OVER: Final = 8
"""The cells of a row that a name leaves to its letter and to the count of those without room."""
_LEAST_CUT: Final = 20
"""A name of several is not cut to fewer cells, which would not tell it apart."""


def draw_title(canvas: Canvas, scene: ChartScene, glyphs: Glyphs, *, framed: bool) -> None:
    """Draw the frame with the title at its upper left and the tags at its upper right; without frame the title."""
    width, height = canvas.width, canvas.height
    if not framed:
        if height and not scene.legend:
            canvas.write(0, 0, glyphs.cut(scene.title, width), Ink.TITLE)
        return
    ink = Ink.FRAME_FOCUS if scene.focused else Ink.FRAME
    frame = glyphs.frame
    left, right, low_right, low_left = frame.corners
    canvas.write(0, 0, left + frame.across * (width - 2) + right, ink)
    canvas.write(0, height - 1, low_left + frame.across * (width - 2) + low_right, ink)
    canvas.column(0, 1, height - 2, frame.down, ink)
    canvas.column(width - 1, 1, height - 2, frame.down, ink)
    title = f" {glyphs.cut(scene.title, width - 6)} "
    end = canvas.write(2, 0, title, Ink.TITLE)
    x = width - 2
    for tag in reversed(scene.tags):
        x -= len(tag) + 3
        if x <= end:
            break
        canvas.write(x, 0, f" {tag} ", Ink.LABEL)


def draw_legend(
    canvas: Canvas, area: Area, items: Sequence[LegendItem], glyphs: Glyphs, key: Sequence[Piece] = ()
) -> None:
    """Draw every curve's letter, name, value and chance level, in the fullest form that fits.

    Chance levels are left out first, then values; names stay unique. If even names do not fit, one that is longer
    than a row is cut, and the others are counted. The name of a single curve is cut. A `key` replaces the first row.
    """
    if not area.height:
        return
    canvas.write_pieces(area.x + 1, area.y, key, area.width - 1)
    if items and not key:
        _draw_items(canvas, area, [_cut(items[0], area.width - 1, glyphs)] if len(items) == 1 else items, glyphs)


def _cut(item: LegendItem, width: int, glyphs: Glyphs) -> LegendItem:
    """Return a curve with so much of its name that its value fits too."""
    needed = sum(len(text) for text, _ in _item(item, _FORMS[0]))
    return replace(item, label=glyphs.cut(item.label, max(len(item.label) - max(needed - width, 0), 0)))


def _draw_items(canvas: Canvas, area: Area, items: Sequence[LegendItem], glyphs: Glyphs) -> None:
    room = max(area.width - _LEFT_OVER, _LEAST_CUT)
    cut = [replace(item, label=glyphs.cut(item.label, room), short=glyphs.cut(item.short, room)) for item in items]
    rows: list[list[list[Piece]]] = []
    for form, named in [*((form, items) for form in _FORMS), (_FORMS[-1], cut)]:
        rows = _flowed([_item(item, form) for item in named], area.width, area.height)
        if sum(map(len, rows)) == len(items):
            break
    shown = sum(map(len, rows))
    for y, row in enumerate(rows):
        pieces = [piece for item in row for piece in (*item, ("  ", Ink.BLANK))]
        canvas.write_pieces(area.x + 1, area.y + y, pieces, area.width - 1)
    if shown < len(items):
        more = f" +{len(items) - shown}"
        canvas.write(area.x + area.width - len(more), area.y + area.height - 1, more, Ink.LABEL)


@record
class _Form:
    """The parts of each curve that a legend shows."""

    short: bool
    value: bool = True
    chance: bool = True


_FORMS: Final = (
    _Form(short=False),
    _Form(short=True),
    _Form(short=False, chance=False),
    _Form(short=True, chance=False),
    _Form(short=False, value=False, chance=False),
    _Form(short=True, value=False, chance=False),
)


def _item(item: LegendItem, form: _Form) -> list[Piece]:
    name = (item.short or item.label) if form.short else item.label
    pieces: list[Piece] = [(f"{item.letter} ", curve_ink(item.slot)), (name, Ink.LABEL)]
    if form.value:
        pieces.append((f" {item.value}", Ink.VALUE))
    if item.chance and form.chance:
        pieces.append((f"/{item.chance}", Ink.CHANCE))
    return pieces


def _flowed(items: list[list[Piece]], width: int, max_rows: int) -> list[list[list[Piece]]]:
    """Return the items in rows of at most `width`, with room to count those that do not fit.

    A single curve's name may be cut, as no other must be told apart.
    """
    rows: list[list[list[Piece]]] = [[]]
    used = 1
    for number, pieces in enumerate(items):
        length = sum(len(text) for text, _ in pieces)
        is_last = number == len(items) - 1
        if rows[-1] and used + length > _room(width, rows, max_rows, is_last) and len(rows) < max_rows:
            rows.append([])
            used = 1
        if used + length > _room(width, rows, max_rows, is_last) and len(items) > 1:
            return rows
        rows[-1].append(pieces)
        used += length + 2
    return rows


def _room(width: int, rows: list[list[list[Piece]]], max_rows: int, is_last: bool) -> int:
    """Return the width of the newest row, less the room to count others in the last one."""
    return width if is_last or len(rows) < max_rows else width - 4
