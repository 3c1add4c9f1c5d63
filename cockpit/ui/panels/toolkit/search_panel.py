"""A panel with a long list and a search field."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Static

from cockpit.ui.panels.toolkit.line_list import LineList
from cockpit.ui.panels.toolkit.panel import Panel


class SearchedList(Panel):
    """The `status`, the search field and the `listing`; the cursor's line in full if it is cut."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", show=False),
        Binding("escape", "leave", show=False),
    ]
    DEFAULT_CSS = """
    SearchedList {
        layout: vertical;
        height: 1fr;

        & > Horizontal { height: 1; }
        & Static { width: auto; height: 1; padding: 0 1; color: $foreground 62%; }
        & #detail { width: 1fr; height: auto; max-height: 4; background: $surface; display: none; }
        & Input { width: 1fr; height: 1; border: none; padding: 0 1; background: $surface; }
    }
    """

    def __init__(self, *, cursor: bool = True, id: str | None = None) -> None:
        super().__init__(id=id)
        self.listing = LineList(self.line, cursor=cursor)
        self.status = Static(markup=False)
        self._detail = Static(id="detail", markup=False)

    def compose(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        with Horizontal():
            yield self.status
            yield Input(placeholder="/ searches", compact=True, select_on_focus=False)
        yield self.listing
        yield self._detail

    def on_show(self) -> None:
        """Give the list the focus for the arrow keys."""
        if self.screen.focused is None:
            self.listing.focus()

    def line(self, index: int) -> Content:
        """Return line number `index` of the list."""
        raise NotImplementedError

    def seek(self, text: str) -> None:
        """Search for `text`; empty string for no search."""
        raise NotImplementedError

    @property
    def sought(self) -> str:
        """Return the text of the search field."""
        return self.query_one(Input).value

    def nothing(self, count: int) -> str:
        """Return a note for the status that the search leaves none of the lines; an empty string if it leaves some."""
        return ", nothing is found" if self.sought and not count else ""

    def on_input_changed(self, event: Input.Changed) -> None:
        """Search while the text changes."""
        event.stop()
        self.seek(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the search and return the focus to the list."""
        event.stop()
        self.listing.focus()

    def action_search(self) -> None:
        """Focus the search field."""
        self.query_one(Input).focus()

    def action_leave(self) -> None:
        """Remove the search and return to the list."""
        self.query_one(Input).value = ""
        self.listing.focus()

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        """Show the line under the cursor in full if the list cuts it."""
        event.stop()
        self._write_out(event.index)

    def on_resize(self) -> None:
        """Fit the full line to the new width; a panel that was never visible has none."""
        self._write_out(self.listing.cursor)

    def _write_out(self, index: int) -> None:
        line = self.line(index) if 0 <= index < self.listing.count else Content()
        self._detail.display = line.cell_length > self.listing.scrollable_content_region.width
        self._detail.update(line)
