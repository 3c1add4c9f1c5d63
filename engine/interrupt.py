"""Signals on their way to the engine: what a handler leaves behind, and who handles them without a screen."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Interrupt:
    """What a signal handler leaves for the engine: the number of the first signal, 0 while there is none.

    `stop` asks for the same end without a signal: the exit code of such a run is that of a stop by command.
    """

    signal: int = 0
    stop: bool = False

    def is_set(self) -> bool:
        """Whether the run is asked to end."""
        return self.stop or bool(self.signal)


@contextmanager
def signals_to(interrupt: Interrupt) -> Generator[None]:
    """The first SIGINT, SIGTERM or SIGHUP asks the run to stop at the next boundary; a second SIGINT ends at once.

    Only the main thread may enter this.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        if interrupt.signal and number == signal.SIGINT:
            os._exit(128 + number)
        interrupt.signal = interrupt.signal or number

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
