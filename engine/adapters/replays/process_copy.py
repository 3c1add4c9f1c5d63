"""A copy of the process that repeats a step, as the training sees it: it waits for the result, or ends the copy."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import Final

from engine.outputs.fault_report import NOT_REPLAYED, Fault
from engine.protocol.codec import WireError, from_json, from_text

_SECONDS: Final = 60.0
"""Maximum duration of a repetition."""


class RefusedReplay:
    """A repetition of step `step` that could not begin, because the system refused a copy of the process."""

    def __init__(self, step: int, error: OSError) -> None:
        self.step = step
        self.started = time.monotonic()
        self._reason = error.strerror or str(error)

    def result(self) -> Fault | None:
        """Return the reason."""
        return Fault(NOT_REPLAYED, detail=f"the process could not be copied for a repetition: {self._reason}")

    def abandon(self) -> None:
        """Do nothing: there is no copy."""


class RunningReplay:
    """A copy of the process that repeats step `step`; `reader` is the end of its pipe."""

    def __init__(self, process: int, reader: int, step: int) -> None:
        self.step = step
        self.started = time.monotonic()
        self._process = process
        self._reader = reader
        self._text = b""
        os.set_blocking(reader, False)

    def result(self) -> Fault | None:
        """Return the fault once the copy has ended, `None` before. A copy that takes too long is ended."""
        with suppress(BlockingIOError):
            while part := os.read(self._reader, 65536):
                self._text += part
            return self._ended()
        if time.monotonic() - self.started < _SECONDS:
            return None
        os.kill(self._process, signal.SIGKILL)
        self._end()
        return Fault(NOT_REPLAYED, detail=f"the repetition took more than {_SECONDS:.0f} s")

    def _ended(self) -> Fault:
        self._end()
        try:
            return from_json(Fault, from_text(self._text.decode()))
        except (WireError, UnicodeDecodeError, ValueError):
            return Fault(NOT_REPLAYED, detail="the repetition in a copy of the process failed")

    def _end(self) -> None:
        os.close(self._reader)
        with suppress(ChildProcessError):
            os.waitpid(self._process, 0)

    def abandon(self) -> None:
        """End the copy without a result."""
        with suppress(ProcessLookupError):
            os.kill(self._process, signal.SIGKILL)
        self._end()
