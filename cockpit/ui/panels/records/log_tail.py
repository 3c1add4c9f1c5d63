"""The end of a growing text file: a bounded number of lines, any bytes, truncation detected."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path
from typing import Final

from cockpit.text.format import escape_control

MAX_LINES: Final = 10_000
MAX_BYTES: Final = 2 * 2**20
"""Bytes that are read from the end of a longer file at first."""
_MAX_CELLS: Final = 2_000
"""Characters that are kept of a longer line: a progress bar may be one endless line."""


class LogTail:
    """Printable lines of the file at `path`; an unfinished line counts as one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: deque[str] = deque(maxlen=MAX_LINES)
        self.num_dropped = 0
        """How many lines were dropped from the top."""
        self.notice = "nothing was printed yet"
        """Reason for missing lines; empty string otherwise."""
        self._file: tuple[int, int] | None = None
        self._offset = 0
        self._open_line = b""

    def read(self) -> bool:
        """Read new lines; return whether there were any. Never raises OSError."""
        try:
            with self.path.open("rb") as file:
                return self._take_in(file.fileno())
        except FileNotFoundError:
            changed = bool(self.lines)
            self._forget()
            return changed
        except OSError as error:
            changed, self.notice = self.notice != str(error), str(error)
            return changed

    def _take_in(self, descriptor: int) -> bool:
        found = os.fstat(descriptor)
        identity = (found.st_dev, found.st_ino)
        if self._file != identity or found.st_size < self._offset:
            self._forget()
            self._file, self._offset = identity, max(found.st_size - MAX_BYTES, 0)
        data = os.pread(descriptor, MAX_BYTES, self._offset)
        if not data:
            return False
        self._offset += len(data)
        self._append(data)
        self.notice = ""
        return True

    def _append(self, data: bytes) -> None:
        if self._open_line:
            self.lines.pop()
        *done, self._open_line = (self._open_line + data).split(b"\n")
        for line in [*done, *([self._open_line] if self._open_line else ())]:
            self.num_dropped += len(self.lines) == MAX_LINES
            self.lines.append(shown_line(line))
        self._open_line = self._open_line[-2 * _MAX_CELLS :]

    def _forget(self) -> None:
        self.lines.clear()
        self.num_dropped, self._offset, self._open_line, self._file = 0, 0, b"", None
        self.notice = "nothing was printed yet"


def shown_line(line: bytes) -> str:
    """Return a line as a terminal would show it: of a rewritten line the last version, control characters escaped."""
    text = line.decode("utf-8", "replace").rstrip("\r")
    text = text.rpartition("\r")[2].expandtabs(8)
    cut = len(text) - _MAX_CELLS
    return escape_control(text[:_MAX_CELLS]) + (f" ... {cut} more" if cut > 0 else "")
