"""Direct rendering of rows, without the steps that Textual adds for any widget."""

from __future__ import annotations

from typing import cast

from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class FastLines:
    """Mixin for a widget without border and padding that caches its own rows.

    It comes before the widget's base class and is no widget, as Textual takes a style from the first base only.
    """

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the rows in `crop` from `render_line`."""
        widget = cast(Widget, self)
        strips = [widget.render_line(y) for y in crop.line_range]
        for line_filter in widget.get_line_filters():
            strips = [strip.apply_filter(line_filter, widget.background_colors[1]) for strip in strips]
        first, last = crop.column_span
        return strips if (first, last) == (0, widget.size.width) else [strip.crop(first, last) for strip in strips]
