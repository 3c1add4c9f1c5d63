"""The output of a report: lines, and on a terminal a picture below them that is drawn over."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cockpit.terminal.safe_stream import is_live, open_console

_INDENT: Final = "    "


class ReportOutput:
    """Writes to `console`, `None` for standard output. `can_redraw` tells whether it may show a picture."""

    def __init__(self, console: Console | None) -> None:
        self._console = open_console() if console is None else console
        self._display: Live | None = None
        self.can_redraw = is_live(self._console)
        self.ascii_only = not self._console.encoding.startswith("utf")

    @property
    def width(self) -> int:
        """Return the width of a line."""
        return self._console.width

    def redraw(self, picture: Text) -> None:
        """Show `picture` in the place of the one before."""
        if self._display is not None:
            self._display.update(picture, refresh=True)
            return
        self._display = Live(picture, console=self._console, auto_refresh=False, transient=True)
        self._display.start(refresh=True)
        # A second interrupt ends the process immediately: the cursor must be visible by then.
        self._console.show_cursor(True)

    def print(self, line: Text) -> None:
        """Print a line; a terminal breaks it between words and indents the rest, a log does not break it."""
        if line.no_wrap or not self._console.file.isatty():
            self._console.print(line, soft_wrap=True)
            return
        for number, piece in enumerate(line.wrap(self._console, max(self.width - len(_INDENT), 1))):
            self._console.print(Text(_INDENT if number else "").append_text(piece), soft_wrap=True)

    def close(self) -> None:
        """Remove the picture."""
        if self._display is not None:
            self._display.stop()
