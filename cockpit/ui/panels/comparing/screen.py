"""The screen that compares runs: overlaid charts, configuration differences, and interventions side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import ContentSwitcher, Static

from cockpit.charts.columns.window import AxisKind
from cockpit.preferences.key_binding import KeyBinding
from cockpit.preferences.settings import Settings
from cockpit.preferences.themes import next_theme
from cockpit.text.format import escape_control
from cockpit.ui.panels.comparing.board import ComparisonBoard
from cockpit.ui.panels.comparing.keys import HELP, TABS, actions_of, comparison_keys, hints
from cockpit.ui.panels.comparing.runs import open_runs
from cockpit.ui.panels.comparing.tables import config_rows, fitted, intervention_rows
from cockpit.ui.panels.toolkit.line_parts import cut
from engine.errors import UserError

_POLL_SECONDS: Final = 0.5
_DAMAGED: Final = " (cannot be read)"
"""After the name of a run of which rows that should be drawn are missing."""


class CompareScreen(ModalScreen[None], inherit_bindings=False):
    """Compares the runs in `directories`, two or more. Raises UserError if one cannot be read.

    Any app may push it. It begins with the charts of `metrics`, `None` for all, on the axis `kind`.
    """

    class KeysAsked(Message):
        """The user asks for all keys, which are `keys`."""

        def __init__(self, keys: Sequence[KeyBinding]) -> None:
            super().__init__()
            self.keys = keys

    AUTO_FOCUS = ""
    DEFAULT_CSS: ClassVar[str] = """
    CompareScreen {
        background: $background;

        & > #compare-tabs { height: 1; padding: 0 1; background: $surface; }
        & > #compare-keys { height: 1; padding: 0 1; background: $surface; color: $text-muted; }
        & > ContentSwitcher { height: 1fr; }
        & VerticalScroll { padding: 0 1; }
        & VerticalScroll > Static { width: 100%; height: auto; }
    }
    """

    def __init__(
        self,
        directories: Sequence[Path],
        settings: Settings | None = None,
        *,
        metrics: Sequence[str] | None = None,
        kind: AxisKind = "step",
    ) -> None:
        super().__init__()
        settings = settings or Settings()
        self._runs = open_runs(directories)
        without = next((run.name for run in self._runs if not run.has_axis(kind)), None)
        if without is not None:
            self._close_runs()
            raise UserError(f"the run {without!r} has no {kind} to draw over: leave out --x")
        self._keys = comparison_keys(settings.keys)
        self._actions = actions_of(self._keys)
        self._elsewhere = actions_of(settings.keys)
        self._board = ComparisonBoard(self._runs, marker=settings.marker, metrics=metrics, kind=kind)
        self._board.id = "compare-charts"
        self._tabs = Static(id="compare-tabs", markup=False)
        self._tab = "charts"
        self._texts = {name: Static(id=f"text-{name}", markup=False) for name in ("config", "interventions")}
        self._said = ""

    def compose(self) -> ComposeResult:
        """Yield the tabs, their contents and the keys."""
        yield self._tabs
        with ContentSwitcher(initial="compare-charts"):
            yield self._board
            for name, text in self._texts.items():
                yield VerticalScroll(text, id=f"compare-{name}")
        yield Static(id="compare-keys", markup=False)

    def on_mount(self) -> None:
        """Draw after the first layout, and follow the runs that live."""
        self.call_after_refresh(self._poll)
        self.set_interval(_POLL_SECONDS, self._poll)

    def on_unmount(self) -> None:
        """Close the journals."""
        self._close_runs()

    def _close_runs(self) -> None:
        for run in self._runs:
            run.close()

    def on_resize(self, event: events.Resize) -> None:
        """Fit the tables and the keys to the new width."""
        self._answer("")
        self.call_after_refresh(self._fill)

    def on_key(self, event: events.Key) -> None:
        """Run the action of a key, or say that a comparison does not have it; escape only removes a cursor."""
        key = self._actions.get(event.key)
        elsewhere = self._elsewhere.get(event.key)
        if event.key == "ctrl+c":
            event.stop()
            self.dismiss()
        elif key is not None:
            event.stop()
            event.prevent_default()
            self._answer("")
            self._dispatch(key.action)
        elif elsewhere is not None:
            self._answer(f"{elsewhere.label}: not in a comparison")

    def _dispatch(self, action: str) -> None:
        match action:
            case "quit":
                self.dismiss()
            case "theme":
                self.app.theme = next_theme(self.app.theme)
            case "screenshot":
                self._save_screenshot()
            case _ if action in HELP:
                self.post_message(self.KeysAsked(self._keys))
            case _ if action in TABS:
                self._show_tab(TABS[action])
            case "next_tab" | "previous_tab":
                names = list(TABS.values())
                self._show_tab(names[(names.index(self._tab) + (1 if action == "next_tab" else -1)) % len(names)])
            case _ if self._tab == "charts" and self._board.dispatch(action):
                self._say()
            case _:
                pass

    def _save_screenshot(self) -> None:
        try:
            path = self.app.save_screenshot(f"compare-{self._tab}.svg", str(Path.cwd()))
        except OSError as error:
            self._answer(f"no screenshot: {error.strerror}")
        else:
            self._answer(f"screenshot: {path}")

    def _answer(self, said: str) -> None:
        """Show a sentence in the bottom line until the next key, or the keys for an empty one."""
        width = max(self.size.width - 2, 0)
        self.query_one("#compare-keys", Static).update(escape_control(said) or hints(self._keys, width))

    def _show_tab(self, name: str) -> None:
        self._tab = name
        self.query_one(ContentSwitcher).current = f"compare-{name}"
        for run in self._runs:
            run.reread()
        self._fill()
        if name != "charts":
            self.query_one(f"#compare-{name}").focus(scroll_visible=False)
        else:
            self.set_focus(None)
        self._say()

    def _poll(self) -> None:
        for run in self._runs:
            run.poll()
        self._board.show()
        self._say()

    def _fill(self) -> None:
        """Write the tables in the present width."""
        width = max(self.size.width - 4, 20)
        for name, rows in (("config", config_rows(self._runs)), ("interventions", intervention_rows(self._runs))):
            head, *rest = fitted(rows, width) or [_NONE[name]]
            self._texts[name].update(Content("\n").join([Content.styled(head, "bold"), *map(Content, rest)]))

    def _say(self) -> None:
        """Write the tabs, the runs and the state of the charts, if they differ from what is shown."""
        names = " | ".join(escape_control(run.name) + _DAMAGED * bool(run.curves.failure) for run in self._runs)
        tabs = "  ".join(f"[{name}]" if name == self._tab else f" {name} " for name in TABS.values())
        text = f"{tabs}   {self._board.said}   {names}" if self._tab == "charts" else f"{tabs}   {names}"
        said = cut(Content(text), self.size.width - 2).plain
        if said != self._said:
            self._said = said
            self._tabs.update(Content(said))


_NONE: Final[Mapping[str, str]] = {
    "config": "the configurations of the runs are the same",
    "interventions": "no run had an intervention",
}
