"""A cache of drawn lines, so that only changed ones are drawn again."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from rich.segment import Segment
from rich.style import Style as Ink
from textual.content import Content
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual
from textual.widget import Widget

_MOST: Final = 512


class StripCache:
    """The strips of one widget's lines: a comparison is many times faster than drawing."""

    def __init__(self) -> None:
        self._strips: dict[int, tuple[Content, tuple[Style, int, int, str], Strip]] = {}

    def strip(self, widget: Widget, number: int, line: Content, style: Style, width: int, left: int = 0) -> Strip:
        """Return line `number` of `widget` in `width` cells, from cell `left` on."""
        kept = self._strips.get(number)
        look = (style, left, width, widget.app.theme)
        if kept is not None and kept[1] == look and kept[0].is_same(line):
            return kept[2]
        strip = _drawn(widget, line, style, left + width)
        if left:
            strip = strip.crop(left, left + width)
        if len(self._strips) >= _MOST:
            self._strips.clear()
        self._strips[number] = line, look, strip
        return strip


def _drawn(widget: Widget, line: Content, style: Style, width: int) -> Strip:
    """Return `line` in exactly `width` cells.

    Textual's own way also aligns, wraps and records positions for text selection, which these widgets do not have. It
    takes three times as long.
    """
    if not line.plain.isprintable():
        (strip,) = Visual.to_strips(widget, line, width, 1, style, pad=True)
        return strip
    if line.cell_length > width:
        line = line.truncate(width, ellipsis=True)
    pieces = [Segment(text, _ink(style + own)) for text, own in line.render(style, end="", parse_style=_style)]
    return Strip(pieces, line.cell_length).extend_cell_length(width, _ink(style))


def _style(style: str | Style) -> Style:
    return style if isinstance(style, Style) else Style.parse(style)


@lru_cache(maxsize=1024)
def _ink(style: Style) -> Ink:
    """Return one object per style, so that its terminal codes are computed once."""
    return style.rich_style
