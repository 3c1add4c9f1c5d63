"""The base of the apps that run on a terminal of ours."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from cockpit.terminal.textual_private import OpenApp

if TYPE_CHECKING:
    from cockpit.terminal.terminal import Terminal


class TerminalApp(OpenApp, inherit_bindings=False):
    """An app on `terminal`; with `None`, Textual chooses one, as in tests."""

    def __init__(self, terminal: Terminal | None = None) -> None:
        driver = None
        if terminal is not None:
            # Only a screen on a real terminal needs it, and not every system supports it.
            from cockpit.terminal.drivers.driver import driver_on  # noqa: PLC0415

            driver = driver_on(terminal)
        super().__init__(driver_class=driver)
        if terminal is not None:
            # Textual discards what is printed; it belongs in the log.
            self.send_prints_to(terminal.log_stream())

    def svg_without_codes(self, title: str, *, simplify: bool) -> str:
        """Return the screen as an SVG.

        Textual would render it in true colour first. Rich caches the codes of a style, so the screen would then use
        true colour on a terminal of 256 colours too.
        """
        width, height = self.size
        console = Console(
            width=width, height=height, file=io.StringIO(), color_system=None, record=True, legacy_windows=False
        )
        console.print(self.whole_picture(simplify=simplify))
        return console.export_svg(title=title)
