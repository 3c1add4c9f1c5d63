"""A text stream that drops output if its target fails, so that printing never ends a run."""

from __future__ import annotations

import errno
import os
import sys
from typing import Final, TextIO

from rich.console import Console

_DUMB: Final = ("dumb", "unknown")


class SafeStream:
    """A text stream in front of another one; write errors are dropped and never raised.

    After the other end is closed, the descriptor leads to /dev/null. Otherwise the flush at the interpreter's exit
    would fail and change the exit code to 120.
    """

    def __init__(self, target: TextIO) -> None:
        self.broken = False
        self._failure: OSError | ValueError | None = None
        self._target = target

    @property
    def encoding(self) -> str:
        """Return the encoding of the target; utf-8 if it has none."""
        return getattr(self._target, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write `text`, with '?' for characters outside the encoding; return its length, written or not."""
        if not self.broken:
            try:
                self._target.write(text.encode(self.encoding, "replace").decode(self.encoding))
            except (OSError, ValueError) as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush the target."""
        if not self.broken:
            try:
                self._target.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def check(self) -> None:
        """Raise the error of the first failed write, if there was one."""
        if self._failure is not None:
            raise self._failure

    def isatty(self) -> bool:
        """Return whether the target is a terminal."""
        return not self.broken and not self._target.closed and self._target.isatty()

    def fileno(self) -> int:
        """Return the target's descriptor. Raises OSError if it has none."""
        return self._target.fileno()

    def _give_up(self, error: OSError | ValueError) -> None:
        self.broken, self._failure = True, error
        if isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.EIO, errno.ENOSPC):
            self._lead_nowhere()

    def _lead_nowhere(self) -> None:
        try:
            descriptor = self.fileno()
            nowhere = os.open(os.devnull, os.O_WRONLY)
        except (OSError, ValueError):
            return
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def open_console(target: TextIO | None = None, *, width: int | None = None) -> Console:
    """Return a rich console on `target` (default: standard output); it reads no markup and never raises OSError."""
    stream = SafeStream(sys.stdout if target is None else target)
    return Console(
        file=stream,  # type: ignore[arg-type]  # rich writes, flushes and asks isatty, fileno and encoding: no more
        width=width,
        markup=False,
        emoji=False,
        highlight=False,
    )


def is_live(console: Console) -> bool:
    """Return whether lines can be redrawn: on a terminal that can move its cursor."""
    return console.file.isatty() and os.environ.get("TERM", "").lower() not in _DUMB
