"""The layout of the list of runs: head, filter, titles, rows, details, keys, and a sentence for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from cockpit.preferences.key_binding import KeyBinding
from cockpit.session.run_list.watcher import RunWatcher
from cockpit.text.format import escape_control
from cockpit.ui.panels.toolkit.symbols import signs_for
from cockpit.ui.screens.key_bar import KeyBar, Present
from cockpit.ui.screens.runs.cells import CellContext
from cockpit.ui.screens.runs.columns import detail_of, layout_of
from cockpit.ui.screens.runs.notice_line import NoticeLine
from cockpit.ui.screens.runs.run_rows import RunRows
from cockpit.ui.screens.runs.run_table import RunTable
from engine.protocol.words.command_syntax import program_name

MIN_WIDTH, MIN_HEIGHT = 60, 10
"""The smallest size at which the list is readable."""

_AGES_SECONDS: Final = 10.0
"""How often the ages in the rows are written again."""


class RunsBoard(Screen[None], inherit_bindings=False):
    """Shows the runs that `watcher` finds, and what is said about them."""

    AUTO_FOCUS = "RunTable"
    DEFAULT_CSS = """
    RunsBoard {
        layout: vertical;

        & Static { width: 100%; height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        & #runs-head { background: $surface; }
        & #runs-find { height: 1; background: $surface; }
        & #runs-find Static { width: auto; color: $text-muted; background: $surface; }
        & #runs-wrong { display: none; height: auto; background: $surface; color: $text-error; text-wrap: wrap; }
        & #runs-find Input { width: 1fr; height: 1; border: none; padding: 0; background: $surface; }
        & #runs-find Input:focus { background: $primary-muted; }
        & #runs-titles { padding: 0; }
        & #runs-none { height: 1fr; padding: 1 2; display: none; text-wrap: wrap; }
        & #runs-detail { height: auto; min-height: 2; max-height: 3; background: $surface; text-wrap: wrap; }
        & #runs-said { display: none; height: auto; background: $success-muted; color: $text-success; text-wrap: wrap; }
        & #runs-said.wrong { background: $warning-muted; color: $text-warning; }
        & #runs-small { display: none; height: 100%; content-align: center middle; text-align: center; }
        &.-empty RunTable, &.-empty #runs-titles { display: none; }
        &.-empty #runs-none { display: block; }
        &.-too-small > * { display: none; }
        &.-too-small > #runs-small { display: block; }
    }
    """

    def __init__(
        self,
        watcher: RunWatcher,
        runs_dir: Path,
        keys: Sequence[KeyBinding],
        *,
        marker: str = "braille",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._watcher = watcher
        self._runs_dir = runs_dir
        self._keys = keys
        self._signs = signs_for(marker)
        self._clock = clock
        self._rows = RunRows()
        self._table = RunTable(self._line, id="runs-table")
        self._said = NoticeLine(id="runs-said", markup=False)
        self._aged_at = 0.0
        self._num_parts = 0
        self._layout_of = layout_of(80)

    def compose(self) -> ComposeResult:
        """Yield the parts from top to bottom."""
        yield Static(id="runs-head", markup=False)
        with Horizontal(id="runs-find"):
            yield Static("filter", markup=False)
            yield Input(placeholder="/ types: base lr<=1e-5 phase:3 nan:yes state:failed", compact=True)
        yield Static(id="runs-wrong", markup=False)
        yield Static(id="runs-titles", markup=False)
        yield self._table
        yield Static(id="runs-none", markup=False)
        yield Static(id="runs-detail", markup=False)
        yield self._said
        yield KeyBar(self._keys, id="keys")
        yield Static(id="runs-small", markup=False)

    def on_mount(self) -> None:
        """Show what is known so far."""
        self.query_one(Input).cursor_blink = False
        self.query_one(KeyBar).show(Present("runs", steerable=False))
        self._num_parts = len(self.children)
        self.tick()

    def tick(self) -> None:
        """Show the newest list, if it is another one; called ten times a second while the screen is in front."""
        if len(self.children) < self._num_parts:  # the screen closes, and its parts go one by one
            return
        if self._rows.take(self._watcher.listing):
            self._show()
        elif self._clock() - self._aged_at >= _AGES_SECONDS:
            self._aged_at = self._clock()
            self._table.refresh()
        self._watcher.prefer(self._rows.names(self._table.in_view))

    def _show(self) -> None:
        """Show the rows, the cursor on its run, and all that depends on them."""
        self._table.place(len(self._rows.shown), self._rows.cursor)
        self.set_class(self._rows.is_empty, "-empty")
        if self._rows.is_empty:
            self.query_one("#runs-none", Static).update(self._nothing())
        self._write_head()
        self._write_detail()

    def _nothing(self) -> str:
        listing = self._watcher.listing
        if listing.trouble:
            return escape_control(listing.trouble)
        if not listing.number:
            return "reading the directory"
        where = escape_control(str(self._runs_dir))
        return (
            f"no runs in {where} yet: {program_name()} trains on the built-in people, and "
            f"{program_name()} run SCRIPT watches any PyTorch program"
        )

    def _write_head(self) -> None:
        where = escape_control(str(self._runs_dir))
        trouble = escape_control(self._watcher.listing.trouble)
        after = (f"   ! {trouble}", "$text-warning") if trouble else (f"   {where}", "$text-muted")
        head = Content.assemble((self._rows.counts, "bold $text-primary"), after)
        self.query_one("#runs-head", Static).update(head)
        titles = self._layout_of.head(self._rows.column, reverse=self._rows.is_reversed, signs=self._signs)
        self.query_one("#runs-titles", Static).update(titles)

    def _write_detail(self) -> None:
        run = self._rows.current
        lines = detail_of(run, self._rows.present_parent(run)) if run else []
        self.query_one("#runs-detail", Static).update(Content("\n").join(lines))

    def _line(self, index: int) -> Content:
        context = CellContext(self._signs, self._clock(), frozenset(self._rows.marked))
        return self._layout_of.line(self._rows.shown[index], context)

    def on_resize(self, event: events.Resize) -> None:
        """Choose the columns for the new width."""
        width, height = event.size
        is_small = width < MIN_WIDTH or height < MIN_HEIGHT
        self.set_class(is_small, "-too-small")
        self.query_one("#runs-small", Static).update(
            f"{width} x {height} is too small for the list of runs.\nIt needs {MIN_WIDTH} x {MIN_HEIGHT}."
        )
        self._layout_of = layout_of(width - 1)
        self._show()

    def say(self, text: str, *, is_wrong: bool = False) -> None:
        """Show a sentence for a few seconds."""
        self._said.say(text, is_wrong=is_wrong)
