"""Notice that a function which trains was left by an exception, without changing anything of the program.

A callback learns only of a regular end. The function's frame is off its thread's stack once it was left.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

_LOOK_SECONDS: Final = 0.5


class TrainingLeftError(RuntimeError):
    """An exception that left the training and was over before it was seen."""


class TrainingFrame:
    """The running call of `function` in `module` that has called this constructor, if there is one.

    It is looked at every half a second at most.
    """

    def __init__(self, module: str, function: str) -> None:
        self._thread, self._look_at = threading.get_ident(), 0.0
        frames = _stack(sys._getframe())  # pyright: ignore[reportPrivateUsage]
        self._frame = next((f for f in frames if _is_call_of(f, module, function)), None)

    def is_left(self) -> bool:
        """Return whether the call is known to have ended. Any thread may ask."""
        if self._frame is None or time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + _LOOK_SECONDS
        frame = sys._current_frames().get(self._thread)  # pyright: ignore[reportPrivateUsage]
        return all(running is not self._frame for running in _stack(frame))

    def error(self) -> BaseException:
        """Return the exception that left the call, while the program handles it or after Python has reported it."""
        found: Any = sys._current_exceptions().get(self._thread)  # pyright: ignore[reportPrivateUsage]
        handled = found[1] if isinstance(found, tuple) else found
        reported = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        left = TrainingLeftError("an exception left the trainer, and the program goes on")
        return next((error for error in (handled, reported) if error is not None and self._has_left(error)), left)

    def _has_left(self, error: BaseException) -> bool:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame is not self._frame:
            trace = trace.tb_next
        return trace is not None


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_call_of(frame: FrameType, module: str, function: str) -> bool:
    return frame.f_code.co_name == function and frame.f_globals.get("__name__") == module
