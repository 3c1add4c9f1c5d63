"""Signals before a run exists: there is nothing to save, so the process ends immediately, with the signal's exit code.

Imports next to nothing: it is the first module that the program loads.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask a process to end."""


def heeded_signals() -> tuple[signal.Signals, ...]:
    """Return the ending signals that are not ignored: what `nohup` or a background job ignores stays ignored."""
    return tuple(number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN)


def end_on_signals() -> None:
    """End the process at an ending signal with exit code 128 + n: no traceback, no cleaning up."""
    for number in heeded_signals():
        signal.signal(number, _end)


def unwind_on_signals() -> None:
    """Raise SystemExit with 128 + n at an ending signal, so that child processes and files are given back."""
    for number in heeded_signals():
        signal.signal(number, _unwind)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _unwind(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
