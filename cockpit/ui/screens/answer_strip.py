"""The strip that shows the answer to a command or key for a few seconds."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.content import Content
from textual.timer import Timer

from cockpit.text.format import escape_control
from cockpit.ui.dialogs.dispatcher import Severity
from cockpit.ui.panels.toolkit.line_panel import LinePanel
from cockpit.ui.panels.toolkit.line_parts import wrapped

_SECONDS: Final[dict[Severity, float]] = {"information": 5.0, "warning": 8.0, "error": 15.0}
_MOST_LINES: Final = 3


class AnswerStrip(LinePanel):
    """The newest answers, those that came together. It has lines of its own only while it is shown."""

    TITLE: ClassVar[str] = "Answer"
    DEFAULT_CSS = """
    AnswerStrip {
        display: none;
        padding: 0 1;
        background: $success-muted;
        color: $text-success;

        &.-warning { background: $warning-muted; color: $text-warning; }
        &.-error { background: $error-muted; color: $text-error; }
    }
    """

    def __init__(self, *, marker: str = "braille", id: str | None = None) -> None:
        super().__init__(marker=marker, id=id)
        self.text = ""
        """Text of the answer; empty string for none."""
        self._timer: Timer | None = None

    def say(self, text: str, severity: Severity = "information", *, seconds: float | None = None) -> None:
        """Show the lines of `text` (never markup) for `seconds`, or for the default time of its severity."""
        self.text = "\n".join(map(escape_control, text.split("\n")))
        self.set_class(severity == "warning", "-warning")
        self.set_class(severity == "error", "-error")
        self.display = True
        self.repaint()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(seconds or _SECONDS[severity], self.clear)

    def clear(self) -> None:
        """Hide the answer."""
        self.text, self.display = "", False

    def lines(self, width: int) -> list[Content]:
        """Return the answer, wrapped to a few lines at most."""
        return wrapped(self.text, width, most=_MOST_LINES) if self.text else []
