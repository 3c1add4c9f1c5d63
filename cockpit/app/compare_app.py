"""The app of `main.py compare`: one screen that compares runs, without torch."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from textual.screen import Screen

from cockpit.app.screen_app import ScreenApp
from cockpit.app.shutdown import Shutdown
from cockpit.preferences.settings import Settings

if TYPE_CHECKING:
    from cockpit.terminal.terminal import Terminal
    from cockpit.ui.panels.comparing.screen import CompareScreen


class CompareApp(ScreenApp, inherit_bindings=False):
    """Shows `screen` until it is left, on `terminal` if there is one."""

    def __init__(self, screen: CompareScreen, settings: Settings, terminal: Terminal | None = None) -> None:
        super().__init__(settings, terminal)
        self.shutdown = Shutdown(None, self.exit)
        self._shown = screen

    def get_default_screen(self) -> Screen[None]:
        """Return an empty screen, below the comparison."""
        return Screen[None]()

    def on_mount(self) -> None:
        """Open the comparison; the app ends with it."""
        self.push_screen(self._shown, lambda _: self.exit())

    def signalled(self, number: int) -> None:
        """End the screen after a signal. Its handler may call this at any moment."""
        self.call_from_handler(self.exit)

    def on_fault(self, error: Exception) -> None:
        """Log the exception and end the screen: the runs are not affected."""
        self.record_fault(error)
        logging.getLogger(__name__).error("a fault in the screen: %s", error, exc_info=error)
        self.gave_up = True
        self.exit()
