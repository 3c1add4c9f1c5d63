"""Signal requests to the engine, and the signal handlers of a run without a screen."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from engine.host.start_signals import heeded_signals


class StoppedEarlyError(Exception):
    """Raised if the run must end before its first step: nothing was trained, so no checkpoint is needed."""


@dataclass(slots=True)
class Interrupt:
    """A request to stop, set by a signal handler: the number of the first signal, or 0.

    `stop` requests the same end without a signal. The exit code is then that of a stop by command.
    """

    signal: int = 0
    stop: bool = False

    def is_set(self) -> bool:
        """Return whether the run must end."""
        return self.stop or bool(self.signal)

    def check(self) -> None:
        """Raise StoppedEarlyError if the run must end; called between the stages of its start."""
        if self.is_set():
            raise StoppedEarlyError

    def exit_code(self) -> int:
        """Return the exit code of a run that ended well: 128 + n after signal n, else 0."""
        return 128 + self.signal if self.signal else 0


@contextmanager
def signals_to(interrupt: Interrupt, *, keep_running: bool = False) -> Generator[None]:
    """Request a stop at the next boundary at the first SIGINT, SIGTERM or SIGHUP.

    A second SIGINT ends the process immediately. Signals that were ignored when the process started stay ignored. With
    `keep_running` SIGHUP is ignored too. Only the main thread may enter this context.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        if interrupt.signal and number == signal.SIGINT:
            os._exit(128 + number)
        interrupt.signal = interrupt.signal or number

    before = {number: signal.signal(number, on_signal) for number in heeded_signals()}
    if keep_running:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
