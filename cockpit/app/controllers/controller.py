"""Controller of the main screen: executes actions of the view, shows the end of the run and faults of the screen."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from textual.screen import ModalScreen

from cockpit.app.controllers.end_lines import end_lines, in_brief
from cockpit.app.controllers.notifications import escape_of
from cockpit.app.controllers.screenshot import save_screenshot
from cockpit.preferences.first_run import is_first_time, remember
from cockpit.preferences.key_binding import shown
from cockpit.preferences.keymap import KEYS, keys_for, lookup
from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.format import escape_control
from cockpit.ui.dialogs.action_table import without_effect
from cockpit.ui.dialogs.box import FAIL
from cockpit.ui.dialogs.dispatcher import ActionDispatcher, Opener
from cockpit.ui.panels.toolkit.panel_faults import Faults, told
from cockpit.ui.screens.main_screen import MainScreen
from cockpit.ui.screens.tab_bar import TABS

if TYPE_CHECKING:
    from cockpit.app.training_handle import RunResult
    from cockpit.preferences.settings import Settings
    from cockpit.ui.panels.toolkit.panel import Panel

_CHART_ACTIONS: Final = frozenset(key.action for key in KEYS if key.group == "charts")
_MOVES: Final = frozenset({"cursor_left", "cursor_right", "cursor_first", "cursor_last", "clear_cursor"})
"""Keys that lists and pictures handle themselves: on another tab they are ignored without a message."""

_ENDS_HINT: Final = ("help", "key_map", "palette")

_NO_OTHER_RUN: Final = "not on this screen: it belongs to its training; `attach` opens another one"


class SessionController:
    """Connects a session with its main screen.

    `opener` opens dialogs and shows messages; `dispatch` executes any action, also those of the app. The curves of the
    run in the directory `baseline` are drawn below the session's.
    """

    LOG_NAME: ClassVar[str] = "console.log"
    """Name of the file with the tracebacks of the screen's faults."""
    NOT_HERE: ClassVar[Mapping[str, str]] = dict.fromkeys(("previous_run", "next_run"), _NO_OTHER_RUN)
    """Actions that such a screen never has, each with the reason."""

    def __init__(
        self,
        session: Session,
        settings: Settings,
        *,
        opener: Opener,
        dispatch: Callable[[str], None],
        baseline: Path | None = None,
    ) -> None:
        self.session = session
        self.steering = ActionDispatcher(session, opener)
        self._dispatch = dispatch
        self.screen = MainScreen(session, settings, self.steering, hinted=is_first_time(), baseline=baseline)
        self._settings = settings
        self._withheld = dict(self.NOT_HERE)
        self._faults = Faults()
        self._is_settled = False
        self._ending: RunResult | None = None

    def poll(self) -> SessionUpdate:
        """Let the screen read the journal, and return what was new."""
        update = self.screen.poll()
        is_under_way = self.session.history.last_step > self.session.history.first_step
        if is_under_way and not self._is_settled and gc.isenabled():
            self._settle()
        if update and self._ending is not None:
            self._say_end()
        return update

    def _settle(self) -> None:
        """Exclude the objects that exist now from garbage collection: once steps are taken, all modules are loaded.

        Each full collection over torch and everything else would take a tenth of a second from the training.
        """
        self._is_settled = True
        gc.collect()
        gc.freeze()

    def escape_of(self, update: SessionUpdate) -> str:
        """Return the escape sequences for the bell and the desktop notifications of `update`."""
        return escape_of(update, self._settings, self.session.run_dir.name, self.session.spec)

    def dispatch(self, action: str) -> None:
        """Execute an action of the view; those that steer are for `steering`."""
        if action in _ENDS_HINT:
            self._end_hint()
        if action in TABS:
            self.screen.show_tab(TABS[action])
        elif action in ("next_tab", "previous_tab"):
            self.screen.turn_tab(1 if action == "next_tab" else -1)
        elif action in ("help", "key_map", "palette"):
            self._open(action)
        elif action == "screenshot":
            save_screenshot(self.screen, self.session)
        elif action == "acknowledge":
            self._acknowledge()
        elif action in self._withheld:
            self.screen.notify(self._withheld[action], severity="warning", markup=False)
        elif action in _CHART_ACTIONS:
            self._on_charts(action)

    def _on_charts(self, action: str) -> None:
        """Execute an action of the charts, or show on which tab it works, unless it is one of `_MOVES`."""
        if self.screen.tab == "charts":
            self.screen.charts.dispatch(action)
        elif action not in _MOVES:
            label = lookup(action, self._settings.keys).label
            self.screen.notify(f"{label} is for the charts: {self._key_of('show_charts')} shows them", markup=False)

    def _key_of(self, action: str) -> str:
        return shown(lookup(action, self._settings.keys)) or "the palette"

    def withhold(self, action: str, reason: str) -> None:
        """Mark an action as one that this screen does not have now, with the reason; without one, offer it again."""
        if self._withheld.get(action, "") == reason:
            return
        if reason:
            self._withheld[action] = reason
        else:
            del self._withheld[action]
        self.screen.withhold(frozenset(self._withheld))

    def say_ended(self, ending: RunResult) -> None:
        """Show how the training ended by itself and keep the last screen; after a failure, show the log."""
        self._ending = ending
        self._say_end()
        if ending.code == 1:
            self.screen.show_tab("log")

    def _say_end(self) -> None:
        """Show the end, the best score and the next steps; called again when the journal's last events arrive."""
        if self._ending is None:
            return
        lines = end_lines(self.session, self._ending)
        failed = self._ending.code == 1 or self.session.state is None
        self.screen.say_ended(lines, in_brief(lines), failed=failed)

    def note_fault(self, error: Exception, panel: Panel | None) -> None:
        """Show that a part of the screen failed; switch off a panel that fails repeatedly."""
        screen = self.screen.app.screen
        if isinstance(screen, ModalScreen) and panel is None:
            with suppress(Exception):  # a dialog that failed may be half closed already
                self.screen.app.pop_screen()
        part = self._faults.part_to_switch_off(error, panel)
        if part is not None:
            self.screen.switch_off(part, told(error))
        self.screen.notify(
            f"{escape_control(told(error))}; {self.LOG_NAME} has the traceback. The training goes on.",
            title=f"! A fault in the screen: {part.TITLE if part else 'noted'}",
            severity="error",
            markup=False,
        )

    def _open(self, action: str) -> None:
        # These are not in the first picture.
        from textual.command import CommandPalette  # noqa: PLC0415

        from cockpit.ui.screens.help import HelpScreen, KeyMapScreen  # noqa: PLC0415
        from cockpit.ui.screens.palette import ActionProvider  # noqa: PLC0415

        keys = keys_for(self._settings.keys, self.session.spec)
        without = {**self._withheld, **without_effect(self.session)}
        match action:
            case "help":
                self.screen.app.push_screen(HelpScreen(self.screen.tab, self.screen.help_texts(), keys, without))
            case "key_map":
                self.screen.app.push_screen(KeyMapScreen(keys, without))
            case _:
                actions = partial(
                    ActionProvider,
                    keys=keys,
                    steering=self.steering,
                    dispatch=self._dispatch,
                    withheld=self._withheld,
                )
                self.screen.app.push_screen(CommandPalette([lambda: actions], placeholder="find an action"))  # type: ignore[list-item]

    def _acknowledge(self) -> None:
        if self.screen.banner.acknowledge() is None:
            none = "there is no alert to acknowledge"
            self.screen.notify(none, title=f"{FAIL} acknowledge", severity="warning", markup=False)
            return
        self.screen.apply_update(SessionUpdate())

    def _end_hint(self) -> None:
        if self.screen.has_class("-hinted"):
            self.screen.remove_class("-hinted")
            remember()
