"""A list of any length that renders only visible lines; it follows its end until it is scrolled."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.strip import Strip

from cockpit.ui.panels.toolkit.fast_lines import FastLines
from cockpit.ui.panels.toolkit.strip_cache import StripCache

_NOTHING: Final = -1


class LineList(FastLines, ScrollView, can_focus=True):
    """Shows `line_at(0)` to `line_at(count - 1)`. With a cursor, enter or a click on a line posts `Chosen`.

    While `follows` is set, the newest line is visible and has the cursor.
    """

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "go_first", show=False),
        Binding("end", "go_last", show=False),
        Binding("enter", "choose", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {"list--cursor"}
    DEFAULT_CSS = """
    LineList {
        height: 1fr;
        background: transparent;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        scrollbar-size-vertical: 1;
        scrollbar-size-horizontal: 1;

        & > .list--cursor { background: $foreground 12%; }
        &:focus > .list--cursor { background: $primary 28%; text-style: bold; }
    }
    """

    follows: var[bool] = var(True)

    class Chosen(Message):
        """Line number `index` was chosen, `by_click` or by enter."""

        def __init__(self, index: int, *, by_click: bool = False) -> None:
            self.index, self.by_click = index, by_click
            super().__init__()

    class Moved(Message):
        """The cursor is on line number `index` now."""

        def __init__(self, index: int) -> None:
            self.index = index
            super().__init__()

    def __init__(self, line_at: Callable[[int], Content], *, cursor: bool = True, id: str | None = None) -> None:
        super().__init__(id=id)
        self._line_at = line_at
        self._has_cursor = cursor
        self._cursor = _NOTHING
        self._count = 0
        self._strips = StripCache()

    @property
    def count(self) -> int:
        """Return the number of lines."""
        return self._count

    @property
    def cursor(self) -> int:
        """Return the line under the cursor, -1 for none."""
        return self._cursor if self._has_cursor else _NOTHING

    def show(self, count: int, *, width: int = 0, shifted: int = 0) -> None:
        """Show `count` lines, the widest of `width` cells (0: all fit).

        `shifted` lines at the top were removed; the visible lines stay visible.
        """
        self._count = count
        self.virtual_size = Size(width, count)
        self._place(count - 1 if self.follows else self._cursor - shifted)
        if self.follows:
            self._scroll_to_end()
        elif shifted:
            self.scroll_to(y=max(self.scroll_offset.y - shifted, 0), animate=False, immediate=True)
        self.refresh()

    def _scroll_to_end(self) -> None:
        self.scroll_to(y=self._top_of_last, animate=False, immediate=True, force=True)

    @property
    def _top_of_last(self) -> int:
        return max(self._count - max(self.scrollable_content_region.height, 1), 0)

    def on_resize(self, event: events.Resize) -> None:
        """Stay at the end if the list follows it."""
        if self.follows:
            self.call_after_refresh(self._scroll_to_end)

    def render_line(self, y: int) -> Strip:
        """Return row `y` of the window."""
        index, left = y + self.scroll_offset.y, self.scroll_offset.x
        width = self.scrollable_content_region.width
        if index >= self._count:
            return Strip.blank(width, self.visual_style.rich_style)
        style = self.visual_style
        if index == self.cursor:
            style += self.get_visual_style("list--cursor", partial=True)
        return self._strips.strip(self, index, self._line_at(index), style, width, left)

    # --- moving ----------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Move the cursor, or scroll a list without one."""
        if self._has_cursor:
            self._go(self._cursor + by)
        else:
            self._look(round(self.scroll_offset.y) + by)

    def action_page(self, by: int) -> None:
        """Move or scroll by a page."""
        self.action_move(by * max(self.scrollable_content_region.height - 1, 1))

    def action_go_first(self) -> None:
        """Go to the oldest line."""
        self._go(0) if self._has_cursor else self._look(0)

    def action_go_last(self) -> None:
        """Go to the newest line and follow."""
        self._go(self._count - 1) if self._has_cursor else self._look(self._count)

    def action_choose(self) -> None:
        """Post that the line under the cursor was chosen."""
        if 0 <= self.cursor < self._count:
            self.post_message(self.Chosen(self.cursor))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the enter key to others without a cursor."""
        return self._has_cursor or action != "choose"

    def on_click(self, event: events.Click) -> None:
        """Choose the line that was clicked."""
        index = event.get_content_offset_capture(self).y + round(self.scroll_offset.y)
        if self._has_cursor and 0 <= index < self._count:
            self._go(index)
            self.post_message(self.Chosen(index, by_click=True))

    def go_to(self, index: int) -> None:
        """Make line `index` visible and move the cursor to it."""
        if self._has_cursor:
            self._go(index)
        else:
            self._look(index - self.scrollable_content_region.height // 2)

    def _place(self, index: int) -> None:
        self._cursor = min(max(index, 0), self._count - 1)
        if self._has_cursor:
            self.post_message(self.Moved(self._cursor))

    def _go(self, index: int) -> None:
        self._place(index)
        self.follows = self._cursor == self._count - 1
        if self._count:
            self.scroll_to_region(Region(round(self.scroll_offset.x), self._cursor, 1, 1), animate=False, force=True)
        self.refresh()

    def _look(self, top: int) -> None:
        self.follows = top >= self._top_of_last
        self.scroll_to(y=min(max(top, 0), self._top_of_last), animate=False, immediate=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Switch following on or off when the mouse or scroll bar reaches or leaves the end."""
        super().watch_scroll_y(old_value, new_value)
        if round(new_value) < self._top_of_last and new_value < old_value:
            self.follows = False
        elif round(new_value) >= self._top_of_last and not self._has_cursor:
            self.follows = True
