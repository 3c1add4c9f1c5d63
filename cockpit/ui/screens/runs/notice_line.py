"""A sentence on the list of runs that is shown for a while."""

from __future__ import annotations

from typing import Final

from textual.timer import Timer
from textual.widgets import Static

from cockpit.text.format import escape_control

_SAID_SECONDS: Final = 8.0


class NoticeLine(Static):
    """A line that is displayed while it says something."""

    _silence: Timer | None = None

    def say(self, text: str, *, is_wrong: bool) -> None:
        """Show a sentence for a few seconds."""
        self.update(escape_control(text))
        self.set_class(is_wrong, "wrong")
        self.display = True
        if self._silence is not None:
            self._silence.stop()
        self._silence = self.set_timer(_SAID_SECONDS, self._hush)

    def _hush(self) -> None:
        self.display = False
