"""The log file of a run: warnings and log records of every library."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager, suppress
from logging.handlers import WatchedFileHandler
from pathlib import Path


class LogFile(WatchedFileHandler):
    """A log that drops records if the disk is full.

    A traceback of logging itself would only damage the screen, and the journal reports the full disk by an alert. A
    deleted file is created again. Records before `begin` wait in memory.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, delay=True)
        self._waiting: list[logging.LogRecord] | None = []

    def begin(self) -> None:
        """Write the waiting records, and all later ones."""
        waiting, self._waiting = self._waiting or (), None
        for entry in waiting:
            self.emit(entry)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, or keep it for later."""
        if self._waiting is not None:
            self._waiting.append(record)
            return
        with suppress(OSError):  # the file cannot be opened: no room for another one, no directory
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the record."""

    def close(self) -> None:
        """Close the file. Waiting records are dropped if the disk is full, or if none reports a fault."""
        if any(record.levelno >= logging.ERROR for record in self._waiting or ()):
            self.begin()
        with suppress(OSError):
            super().close()


@contextmanager
def logging_to(path: Path) -> Generator[LogFile]:
    """Write warnings and log records of every library to console.log during the block, from `begin` on."""
    handler = LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    logging.captureWarnings(True)
    try:
        yield handler
    finally:
        logging.captureWarnings(False)
        root.removeHandler(handler)
        handler.close()
