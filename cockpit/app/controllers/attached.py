"""Controller of the main screen on a run of another process, which may end and be resumed by a further one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

from cockpit.app.controllers.controller import SessionController
from cockpit.preferences.settings import ATTACH_LOG
from cockpit.session.update import SessionUpdate


class _OtherResult(NamedTuple):
    """How a run of another process ended, like `RunResult`."""

    code: int
    error: str


class AttachedController(SessionController):
    """Shows the end of the run that the journal tells, and hides it when the run goes on."""

    LOG_NAME: ClassVar[str] = ATTACH_LOG
    NOT_HERE: ClassVar[Mapping[str, str]] = {}

    def poll(self) -> SessionUpdate:
        """Let the screen read the journal, and return what was new."""
        update = super().poll()
        if update:
            self._follow_end()
        return update

    def _follow_end(self) -> None:
        was_over, end, lost = self._ending is not None, self.session.end, self.session.abandonment
        is_over = end is not None or bool(lost)
        code = int(end is None or end.word == "failed")
        self._ending = _OtherResult(code, "" if end else lost) if is_over else None
        if is_over and not was_over:
            self._say_end()
        elif was_over and not is_over:
            self.screen.say_ended(())

    def _settle(self) -> None:
        """Leave collections as they are: there is no training to delay, and the screens of other runs are garbage."""
        self._is_settled = True
