"""Textual's driver on a terminal that is not descriptor 1, as the program's own output goes to the log."""

from __future__ import annotations

from typing import Any

from textual.app import App
from textual.driver import Driver

from cockpit.terminal.drivers.input import read_input
from cockpit.terminal.safe_stream import SafeStream
from cockpit.terminal.terminal import Terminal
from cockpit.terminal.textual_private import OpenDriver


def driver_on(terminal: Terminal) -> type[Driver]:
    """Return a driver class that draws on `terminal` and uses its size."""

    class TerminalDriver(OpenDriver):
        """Draws on the terminal; output to a closed terminal is dropped."""

        def __init__(self, app: App[Any], **settings: Any) -> None:  # Textual passes its keywords on
            super().__init__(app, **settings)
            self.draw_on(SafeStream(terminal.stream))  # type: ignore[arg-type]  # it has what the writer thread uses

        def start_application_mode(self) -> None:
            terminal.is_taken = True
            super().start_application_mode()

        def close(self) -> None:
            super().close()
            terminal.is_taken = False

        def run_input_thread(self) -> None:
            read_input(self.fileno, self.exit_event, self.process_message)

        def terminal_size(self) -> tuple[int, int]:
            return terminal.size()

    return TerminalDriver
