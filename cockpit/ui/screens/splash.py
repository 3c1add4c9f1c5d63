"""The first frame, shown while the program starts."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Center, Middle
from textual.screen import Screen
from textual.widgets import Static

from cockpit.terminal.textual_private import OpensQuickly


class SplashScreen(OpensQuickly, Screen[None], inherit_bindings=False):
    """Screen that needs nothing but Textual, so that it appears immediately."""

    def __init__(self, run: str, doing: str = "starting: reading the configuration") -> None:
        super().__init__()
        self._run = run
        self._doing = doing

    def compose(self) -> ComposeResult:
        """Yield the program's name, the run's name, and the present activity."""
        with Middle(), Center():
            yield Static("Training Cockpit", id="opening-title", markup=False)
            yield Static(self._run, id="opening-run", markup=False)
            yield Static(self._doing, id="opening-doing", markup=False)
