"""Driver of a screen in a browser: packets on standard output, while the program's own output goes to the log."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from textual.drivers.web_driver import WebDriver
from textual.messages import ExitApp


class BrowserDriver(WebDriver):
    """Draws in a browser; a server that has gone ends the app."""

    def run_input_thread(self) -> None:
        """Read input until its end, then end the app unless that was the reason."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            self._app.post_message(ExitApp())


@contextmanager
def packets_on_output(log: Path) -> Generator[None]:
    """Keep standard output for the driver's packets: descriptors 1 and 2 lead to the file `log` during the block."""
    saved = [os.dup(1), os.dup(2)]
    packets = os.fdopen(os.dup(1), "w", encoding="utf-8")
    stream = sys.__stdout__
    target = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.dup2(target, 1)
        os.dup2(target, 2)
        sys.__stdout__ = packets  # type: ignore[misc]  # the driver takes its descriptor
        yield
    finally:
        sys.__stdout__ = stream  # type: ignore[misc]
        for descriptor, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(target)
        packets.close()
