"""Rows as a widget makes them, without what Textual does to the rows of any widget."""

from __future__ import annotations

from typing import cast

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class FastLines:
    """For a widget without border and padding, which has nothing added to its rows, and keeps them itself.

    Stands before the widget's own base, and is none itself: Textual takes a widget's style from its first base alone.
    """

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows in `crop`, as `render_line` gives them."""
        widget = cast(Widget, self)
        strips = [widget.render_line(y) for y in crop.line_range]
        for line_filter in widget.get_line_filters():
            strips = [strip.apply_filter(line_filter, widget.background_colors[1]) for strip in strips]
        first, last = crop.column_span
        return strips if (first, last) == (0, widget.size.width) else [strip.crop(first, last) for strip in strips]
