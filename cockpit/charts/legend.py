"""The title in a chart's frame, and the line that names every curve with its value."""

from __future__ import annotations

from collections.abc import Sequence

from cockpit.charts.canvas import Area, Canvas
from cockpit.charts.glyphs import Glyphs
from cockpit.charts.inks import Ink, curve_ink
from cockpit.charts.scene import LegendItem, Scene

Piece = tuple[str, Ink]
"""Text in one colour."""


def draw_title(canvas: Canvas, scene: Scene, glyphs: Glyphs, *, framed: bool) -> None:
    """The frame with the title at the left of its upper edge and the tags at the right; without frame a title."""
    width, height = canvas.width, canvas.height
    if not framed:
        if height and not scene.legend:
            canvas.write(0, 0, scene.title[:width], Ink.TITLE)
        return
    ink = Ink.FRAME_FOCUS if scene.focused else Ink.FRAME
    frame = glyphs.frame
    left, right, low_right, low_left = frame.corners
    canvas.write(0, 0, left + frame.across * (width - 2) + right, ink)
    canvas.write(0, height - 1, low_left + frame.across * (width - 2) + low_right, ink)
    canvas.column(0, 1, height - 2, frame.down, ink)
    canvas.column(width - 1, 1, height - 2, frame.down, ink)
    title = f" {scene.title[: width - 6]} "
    end = canvas.write(2, 0, title, Ink.TITLE)
    x = width - 2
    for tag in reversed(scene.tags):
        x -= len(tag) + 3
        if x <= end:
            break
        canvas.write(x, 0, f" {tag} ", Ink.LABEL)


def draw_legend(canvas: Canvas, area: Area, items: Sequence[LegendItem], key: Sequence[Piece] = ()) -> None:
    """Every curve's letter, name, value and chance; names are cut before curves are left out, and those are counted.

    A `key` stands in the first row instead.
    """
    if not area.height:
        return
    canvas.write_pieces(area.x + 1, area.y, key, area.width - 1)
    if items and not key:
        _draw_items(canvas, area, items)


def _draw_items(canvas: Canvas, area: Area, items: Sequence[LegendItem]) -> None:
    rows: list[list[list[Piece]]] = []
    for name_width in (24, 16, 12, 8, 5, 0):
        rows = _flowed([_item(item, name_width) for item in items], area.width, area.height)
        if sum(map(len, rows)) == len(items):
            break
    shown = sum(map(len, rows))
    for y, row in enumerate(rows):
        pieces = [piece for item in row for piece in (*item, ("  ", Ink.BLANK))]
        canvas.write_pieces(area.x + 1, area.y + y, pieces, area.width - 1)
    if shown < len(items):
        more = f" +{len(items) - shown}"
        canvas.write(area.x + area.width - len(more), area.y + area.height - 1, more, Ink.LABEL)


def _item(item: LegendItem, name_width: int) -> list[Piece]:
    pieces: list[Piece] = [(f"{item.letter} ", curve_ink(item.slot))]
    if name_width:
        pieces.append((f"{item.label[:name_width]} ", Ink.LABEL))
    pieces.append((item.value, Ink.VALUE))
    if item.chance:
        pieces.append((f"/{item.chance}", Ink.CHANCE))
    return pieces


def _flowed(items: list[list[Piece]], width: int, max_rows: int) -> list[list[list[Piece]]]:
    """The items in rows no wider than `width`, with room to count the others where not all of them fit."""
    rows: list[list[list[Piece]]] = [[]]
    used = 1
    for number, pieces in enumerate(items):
        length = sum(len(text) for text, _ in pieces) + 2
        room = width - (4 if len(rows) == max_rows and number < len(items) - 1 else 0)
        if rows[-1] and used + length - 2 > room:
            if len(rows) == max_rows:
                return rows
            rows.append([])
            used = 1
        rows[-1].append(pieces)
        used += length
    return rows
