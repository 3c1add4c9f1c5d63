"""Signals before a run exists: the process ends immediately with the signal's exit code. And after it: none counts.

This module imports almost nothing: it is the first that the program loads.
"""

from __future__ import annotations

import atexit
import os
import signal
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that request the end of a process."""


def heeded_signals() -> tuple[signal.Signals, ...]:
    """Return the ending signals that are not ignored.

    Signals ignored by `nohup` or a background job stay ignored.
    """
    return tuple(number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN)


def end_on_signals() -> None:
    """End the process at an ending signal with exit code 128 + n, without traceback or cleanup.

    Once all threads have ended and Python only frees memory, signals no longer change the exit code.
    """
    atexit.register(_ignore_all)  # first, so that it is called last: after it Python takes its handlers away
    for number in heeded_signals():
        signal.signal(number, _end)


def unwind_on_signals() -> None:
    """Raise SystemExit with 128 + n at an ending signal, so that child processes and files are released."""
    for number in heeded_signals():
        signal.signal(number, _unwind)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _ignore_all() -> None:
    for number in (*ENDING, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)


def _unwind(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
