"""The app on a list of runs: enter opens the screen on one, and leaving that comes back to the list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual.screen import Screen

from cockpit.app.attached_app import AttachedApp
from cockpit.app.shutdown import Shutdown
from cockpit.preferences.settings import Settings
from cockpit.session.run_list.watcher import RunWatcher
from cockpit.text.format import escape_control
from cockpit.ui.screens.runs.runs_screen import RunsScreen
from engine.errors import UserError

if TYPE_CHECKING:
    from cockpit.app.controllers.controller import SessionController
    from cockpit.terminal.terminal import Terminal
    from cockpit.ui.dialogs.dispatcher import Severity

_CONTROLLER: Final = "cockpit.app.controllers.attached"
_PRELOAD_AFTER: Final = 1.0


class RunsApp(AttachedApp):
    """The list of the runs in `runs_dir`, which `watcher` reads, and the screens that it opens."""

    def __init__(
        self,
        runs_dir: Path,
        watcher: RunWatcher,
        *,
        settings: Settings,
        terminal: Terminal | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(runs_dir, settings=settings, terminal=terminal)
        self._list = RunsScreen(watcher, runs_dir, settings.run_keys, marker=settings.marker, clock=clock)
        self._was_signalled = False
        self.shutdown = Shutdown(None, self._leave)

    def get_default_screen(self) -> Screen[None]:
        """Return the list."""
        return self._list

    def action_dispatch(self, action: str, argument: str = "") -> None:
        """Execute an action of the list, or of the screen that is open on a run."""
        if self._controller is not None:
            super().action_dispatch(action, argument)
        elif self.screen is self._list:
            self._list.dispatch(action)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: Severity = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Show a message on the list, or on the screen that is open on a run; never markup."""
        if self._controller is None:
            self._list.say(f"{title}: {message}" if title else message, is_wrong=severity != "information")
        else:
            super().notify(message, title=title, severity=severity, timeout=timeout, markup=markup)

    def signalled(self, number: int) -> None:
        """Remember a signal: unlike a key, it ends the program and not only the screen on a run."""
        self._was_signalled = True
        super().signalled(number)

    async def on_runs_screen_attach(self, message: RunsScreen.Attach) -> None:
        """Open the screen on a run."""
        if self._controller is None:
            controller = self._furnish(message.path)
            await self.push_screen(controller.screen)
            self.shutdown.begin(controller)
            self._poll()

    def on_runs_screen_compare(self, message: RunsScreen.Compare) -> None:
        """Compare runs on a screen above the list."""
        from cockpit.ui.panels.comparing.screen import CompareScreen  # noqa: PLC0415 - the list needs no charts

        try:
            screen = CompareScreen(message.paths, self.settings)
        except UserError as error:
            self._list.say(escape_control(str(error)), is_wrong=True)
        else:
            self.push_screen(screen)

    def _open(self) -> None:
        self.set_interval(1 / self.settings.poll_rate, self._tick, name="poll")
        self.set_timer(_PRELOAD_AFTER, self._preload)
        self.shutdown.answer()

    async def _preload(self) -> None:
        """Import what the screen on a run needs, in another thread, so that the first one opens quickly."""
        await asyncio.to_thread(import_module, _CONTROLLER)

    def _poll(self) -> None:
        super()._poll()
        if self._controller is None and self._list.is_mounted:
            self._list.tick()

    def _leave(self) -> None:
        """Close the screen on a run; without one, or after a signal, the app."""
        if self._controller is None or self._was_signalled:
            self.exit()
        else:
            self.call_later(self._come_back, self._controller)
            self._controller = None

    async def _come_back(self, controller: SessionController) -> None:
        while self.screen is not self._list:
            await self.pop_screen()
        controller.session.close()
        self.shutdown = Shutdown(None, self._leave)
        self._list.select(controller.session.run_dir.name)
