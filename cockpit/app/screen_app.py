"""The base of the apps: theme, the event loop for signals, and whether the screen gave up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from cockpit.app.shutdown import Shutdown
from cockpit.preferences.settings import Settings
from cockpit.preferences.themes import use_theme
from cockpit.terminal.terminal_app import TerminalApp

if TYPE_CHECKING:
    from cockpit.terminal.terminal import Terminal
    from cockpit.ui.panels.comparing.screen import CompareScreen


class ScreenApp(TerminalApp, inherit_bindings=False):
    """An app in the theme of `settings`, on `terminal` if there is one.

    `gave_up`: it ended because of its own faults. `shutdown` closes it.
    """

    TITLE = "Training Cockpit"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    shutdown: Shutdown

    def __init__(self, settings: Settings, terminal: Terminal | None) -> None:
        super().__init__(terminal)
        self.gave_up = False
        self._events: asyncio.AbstractEventLoop | None = None
        use_theme(self, settings.theme)
        self.style_for_theme()

    def on_mount(self) -> None:
        """Remember the event loop."""
        self._events = asyncio.get_running_loop()

    def on_compare_screen_keys_asked(self, message: CompareScreen.KeysAsked) -> None:
        """Show the keys of a comparison."""
        from cockpit.ui.screens.help import KeyMapScreen  # noqa: PLC0415 - it imports every panel

        self.push_screen(KeyMapScreen(message.keys))

    def signalled(self, number: int) -> None:
        """Handle a signal; called by its handler, at any moment."""
        raise NotImplementedError

    def call_from_handler(self, callback: Callable[..., object], *arguments: object) -> None:
        """Let the event loop call `callback`; do nothing before the app runs and after it. For handlers of signals."""
        if self._events is not None and self.is_running:
            self._events.call_soon_threadsafe(callback, *arguments)
