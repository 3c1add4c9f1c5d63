"""The first frame: who is here and what is being done, while everything else is still on its way."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Center, Middle
from textual.screen import Screen
from textual.widgets import Static


class SplashScreen(Screen[None], inherit_bindings=False):
    """Needs nothing but Textual, so that it is there at once."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run = run

    def compose(self) -> ComposeResult:
        """The program's name, the run's, and what is done now."""
        with Middle(), Center():
            yield Static("Training Cockpit", id="opening-title", markup=False)
            yield Static(self._run, id="opening-run", markup=False)
            yield Static("starting: reading the configuration", id="opening-doing", markup=False)
