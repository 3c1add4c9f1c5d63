"""The rows of the list of runs: only the visible ones are drawn, and the cursor stays on its run."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.content import Content
from textual.geometry import Region, Size

from cockpit.ui.panels.toolkit.line_list import LineList


class RunTable(LineList):
    """A list that does not follow its end. A click moves the cursor; a click on its line chooses it."""

    def __init__(self, line_at: Callable[[int], Content], *, id: str | None = None) -> None:
        super().__init__(line_at, id=id)
        self.follows = False

    @property
    def in_view(self) -> range:
        """The numbers of the lines on the screen."""
        top = round(self.scroll_offset.y)
        return range(top, min(top + max(self.size.height, 1), self.count))

    def place(self, count: int, cursor: int) -> None:
        """Show `count` lines with the cursor on line `cursor`, which is made visible if it moved."""
        self.follows = False
        has_moved = (self.count, self.cursor) != (count, cursor)
        self._count = count
        self.virtual_size = Size(0, count)
        if has_moved:
            self._place(cursor)
            self.scroll_to_region(Region(0, max(self.cursor, 0), 1, 1), animate=False, force=True)
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the line that was clicked, or choose it if it is there."""
        index = event.get_content_offset_capture(self).y + round(self.scroll_offset.y)
        if not 0 <= index < self.count:
            return
        if index == self.cursor:
            self.action_choose()
        else:
            self.go_to(index)
        event.prevent_default()
