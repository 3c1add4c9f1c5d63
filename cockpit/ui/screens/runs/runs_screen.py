"""The list of all runs of a directory with the keys that act on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input, Static

from cockpit.preferences.key_names import bound_as
from cockpit.session.run_list.listed_run import ListedRun
from cockpit.text.format import escape_control
from cockpit.ui.panels.toolkit.line_list import LineList
from cockpit.ui.screens.runs.prompt import TextPrompt
from cockpit.ui.screens.runs.run_editor import RunEditor
from cockpit.ui.screens.runs.runs_board import RunsBoard
from engine.errors import UserError
from engine.journal.disk.run_dir import has_journal


class RunsScreen(RunsBoard, inherit_bindings=False):
    """The list with its keys. Enter posts `Attach`; the key that compares posts `Compare`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("ctrl+c", "quit", show=False),
    ]

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

    @cached_property
    def _editor(self) -> RunEditor:
        return RunEditor(self)

    @cached_property
    def _actions(self) -> dict[str, str]:
        """Return the actions by the keys that execute them, in the words of Textual."""
        return {bound_as(name): key.action for key in self._keys for name in key.keys}

    # --- keys --------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Execute the action of a key; while the filter has the focus, only of the one that removes it.

        Textual looks for bindings after further keys were sent to the widget that had the focus before. Here each key
        acts before the next one, so that no letter of a fast filter is lost or taken for another action.
        """
        action, typed = self._actions.get(event.key, ""), self.query_one(Input)
        is_typing = self.focused is typed
        if self.app.screen is not self:
            event.stop()
        elif is_typing and event.character is not None and event.is_printable:
            typed.insert_text_at_cursor(event.character)
            event.stop()
        elif is_typing and event.key == "enter":
            self.set_focus(self._table)
            event.stop()
        elif action and (not is_typing or action == "run_clear"):
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
        from cockpit.ui.screens.help import RunKeysScreen  # noqa: PLC0415 - it imports every panel

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
        said = self.query_one("#runs-wrong", Static)
        said.update(escape_control(wrong))
        said.display = bool(wrong)
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
