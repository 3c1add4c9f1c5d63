"""An app whose notifications are lines of the main screen, never toasts over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cockpit.terminal.textual_private import OpenApp

if TYPE_CHECKING:
    from cockpit.app.controller import SessionController
    from cockpit.dialogs.dispatcher import Severity


class AnsweringApp(OpenApp, inherit_bindings=False):
    """Says what any part of the screen notifies in the strip of answers."""

    _cabin: SessionController | None = None

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: Severity = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Answer in the main screen's strip, where Textual would put a toast over what is there; never markup."""
        if self._cabin is not None and self._cabin.screen.is_mounted:
            said = f"{title}: {message}" if title else message
            self._cabin.screen.answers.say(said, severity, seconds=timeout)
