"""The screen with all runs of a directory: rows, filter, details, and the keys that act on runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input, Static

from cockpit.panels.toolkit.line_list import LineList
from cockpit.panels.toolkit.symbols import signs_for
from cockpit.preferences.keymap import KeyBinding, bound_as
from cockpit.screens.key_bar import KeyBar, Present
from cockpit.screens.runs.columns import CellContext, detail_of, layout_of
from cockpit.screens.runs.prompt import TextPrompt
from cockpit.screens.runs.run_editor import RunEditor
from cockpit.screens.runs.run_rows import RunRows
from cockpit.screens.runs.run_table import RunTable
from cockpit.session.run_list.listed_run import ListedRun
from cockpit.session.run_list.watcher import RunWatcher
from cockpit.text.format import escape_control
from engine.errors import UserError
from engine.journal.disk.run_dir import has_journal
from engine.protocol.command_syntax import program_name

MIN_WIDTH, MIN_HEIGHT = 60, 10
"""The smallest size at which the list is readable."""

_SAID_SECONDS: Final = 8.0
_AGES_SECONDS: Final = 10.0
"""How often the ages in the rows are written again."""


class RunsScreen(Screen[None], inherit_bindings=False):
    """The runs that `watcher` finds. Enter posts `Attach`; the key that compares posts `Compare`."""

    AUTO_FOCUS = "RunTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("ctrl+c", "quit", show=False),
    ]
    DEFAULT_CSS = """
    RunsScreen {
        layout: vertical;

        & Static { width: 100%; height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        & #runs-head { background: $surface; }
        & #runs-find { height: 1; background: $surface; }
        & #runs-find Static { width: auto; color: $text-muted; background: $surface; }
        & #runs-find #runs-wrong { color: $text-error; }
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

    class Attach(Message):
        """The screen on the run at `path` is requested."""

        def __init__(self, path: Path) -> None:
            self.path = path
            super().__init__()

    class Compare(Message):
        """A comparison of these runs is requested, in the order of the list."""

        def __init__(self, paths: Sequence[Path]) -> None:
            self.paths = tuple(paths)
            super().__init__()

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
        self._editor = RunEditor(self)
        self._silence: Timer | None = None
        self._aged_at = 0.0
        self._layout_of = layout_of(80)
        self._actions = {bound_as(name): key.action for key in keys for name in key.keys}

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
        yield Static(id="runs-said", markup=False)
        yield KeyBar(self._keys, id="keys")
        yield Static(id="runs-small", markup=False)

    def on_mount(self) -> None:
        """Show what is known so far."""
        self.query_one(Input).cursor_blink = False
        self.query_one(KeyBar).show(Present("runs", steerable=False))
        self.tick()

    # --- rows --------------------------------------------------------------------------------

    def tick(self) -> None:
        """Show the newest list, if it is another one; called ten times a second while the screen is in front."""
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
        self.query_one("#runs-detail", Static).update(Content("\n").join(detail_of(run)) if run else "")

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

    # --- keys --------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Execute the action of a key; while the filter has the focus, only of the one that removes it.

        Textual looks for bindings after further keys were sent to the widget that had the focus before. Here each key
        acts before the next one, so that no letter of a fast filter is lost or taken for another action.
        """
        action, typed = self._actions.get(event.key, ""), self.query_one(Input)
        if self.app.screen is not self:
            event.stop()
        elif typed.has_focus and event.character is not None and event.is_printable:
            typed.insert_text_at_cursor(event.character)
            event.stop()
        elif action and (not typed.has_focus or action == "run_clear"):
            self.dispatch(action)
            event.stop()

    def action_quit(self) -> None:
        """Leave the list."""
        self.dispatch("run_quit")

    def dispatch(self, action: str) -> None:
        """Execute an action of the list, on the run where the cursor is now: its message may still be on the way."""
        self._rows.go_to(self._table.cursor)
        run = self._rows.current
        match action:
            case "run_filter":
                self.set_focus(self.query_one(Input))
            case "run_sort" | "run_reverse":
                self._rows.sort(reverse=action == "run_reverse")
                self._show()
            case "run_compare":
                self._compare()
            case "run_clear":
                self._clear()
            case "run_help":
                self._help()
            case "run_quit":
                self.app.exit()
            case _ if run is not None:
                self._dispatch_on(run, action)
            case _:
                pass

    def _dispatch_on(self, run: ListedRun, action: str) -> None:
        """Execute an action on the run under the cursor."""
        match action:
            case "run_attach":
                self._open_run(run)
            case "run_mark":
                self._rows.mark()
                self._show()
            case "run_rename":
                self._editor.rename(run)
            case "run_note":
                self._editor.note(run)
            case "run_tags":
                self._editor.tags(run)
            case "run_delete":
                self._editor.delete(run, self._rows.num_branches(run))
            case "run_path":
                self.say(str(run.path.absolute()))
            case _:
                pass

    def action_move(self, by: int) -> None:
        """Move the cursor while the filter has the focus."""
        self._table.action_move(by)

    def action_page(self, by: int) -> None:
        """Move the cursor by a page while the filter has the focus."""
        self._table.action_page(by)

    def action_sort_by(self, name: str) -> None:
        """Sort by the column of that name, or in the other direction if it sorts already."""
        self._rows.sort_by(name)
        self._show()

    def _open_run(self, run: ListedRun) -> None:
        if run.facts is None and (run.reason or not has_journal(run.path)):
            self.say(run.reason, is_wrong=True)
        else:
            self.post_message(self.Attach(run.path))

    def _compare(self) -> None:
        chosen = self._rows.marked_runs()
        if len(chosen) < 2:
            self.say("mark two runs or more to compare them", is_wrong=True)
        else:
            self.post_message(self.Compare([run.path for run in chosen]))

    def _clear(self) -> None:
        """Remove the filter; without one, the marks."""
        typed = self.query_one(Input)
        if typed.value:
            typed.value = ""
        else:
            self._rows.marked.clear()
        self.set_focus(self._table)
        self._show()

    def _help(self) -> None:
        from cockpit.screens.help import RunKeysScreen  # noqa: PLC0415 - it imports every panel

        self.app.push_screen(RunKeysScreen(self._keys))

    def on_line_list_chosen(self, event: LineList.Chosen) -> None:
        """Open the run under the cursor."""
        event.stop()
        self.dispatch("run_attach")

    def on_line_list_moved(self, event: LineList.Moved) -> None:
        """Show the details of the run that the cursor is on now."""
        event.stop()
        self._rows.go_to(self._table.cursor)
        self._write_detail()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while the text changes; a mistake is shown, and the rows stay."""
        event.stop()
        wrong = ""
        try:
            self._rows.filter(event.value)
        except UserError as error:
            wrong = str(error)
        self.query_one("#runs-wrong", Static).update(escape_control(wrong))
        if not wrong:
            self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter and return to the rows."""
        event.stop()
        self.set_focus(self._table)

    # --- changes -------------------------------------------------------------------------------

    def select(self, name: str) -> None:
        """Put the cursor on the run `name`."""
        self._rows.select(name)
        self._show()

    def ask(self, prompt: TextPrompt, answered: Callable[[str | None], None]) -> None:
        """Open a dialog; `answered` receives its text, `None` if it was cancelled."""
        self.app.push_screen(prompt, answered)

    def has_changed(self, run: ListedRun, path: Path | None) -> None:
        """Take note that `run` is at `path` now, `None` if it is deleted, and look at the directory again."""
        if path is not None:
            self._rows.follow(run.name, path.name)
        self._watcher.look_now()

    def say(self, text: str, *, is_wrong: bool = False) -> None:
        """Show a sentence for a few seconds."""
        said = self.query_one("#runs-said", Static)
        said.update(escape_control(text))
        said.set_class(is_wrong, "wrong")
        said.display = True
        if self._silence is not None:
            self._silence.stop()
        self._silence = self.set_timer(_SAID_SECONDS, self._hush)

    def _hush(self) -> None:
        self.query_one("#runs-said", Static).display = False
