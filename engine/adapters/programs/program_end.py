"""End a program that was asked to: at its next step, by SIGTERM after that, and by SIGKILL if a user insists."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from typing import Final

from engine.adapters.programs.child_process import end_child

PATIENCE_SECONDS: Final = 10.0
"""Seconds after SIGTERM for which a program is not killed, however often it is asked: it may be saving."""


class ProgramEnd:
    """The end of one program; `turn` is called again and again once the program was asked to stop.

    `tell` is called with a sentence for the user, and what to do. A program that ignores SIGTERM is not killed for one
    request: it may be writing a checkpoint.
    """

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        name: str,
        tell: Callable[[str, str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._child = child
        self._name = name
        self._tell = tell
        self._clock = clock
        self._asked_at = clock()
        self._terminated_at: float | None = None
        self._is_said = self._is_insisted = self._is_killed = False

    def turn(self, grace: float, *, insists: bool) -> None:
        """Do what is due: SIGTERM `grace` seconds after the first request, or now if a user `insists`; then SIGKILL."""
        if self._is_killed:
            return
        now = self._clock()
        if self._terminated_at is None and (insists or now - self._asked_at > grace):
            self._terminated_at = now
            end_child(self._child, signal.SIGTERM)
        if self._terminated_at is None:
            return
        left = self._terminated_at + PATIENCE_SECONDS - now
        if left <= 0 and insists:
            self._is_killed = True
            end_child(self._child, signal.SIGKILL)
            self._tell(f"{self._name} ignored SIGTERM for {now - self._terminated_at:.0f} s and was killed", "")
        elif left <= 0 and not self._is_said:
            self._is_said = True
            said = f"{self._name} has ignored SIGTERM for {PATIENCE_SECONDS:.0f} s and goes on"
            self._tell(said, "Ctrl+C or SIGTERM once more kills it, with what it may be saving")
        elif left > 0 and insists and not self._is_insisted:
            self._is_insisted = True
            self._tell(f"{self._name} was sent SIGTERM, and is killed in {left:.0f} s unless it ends", "")
