"""The file in the place of a run's journal: it may be made later, put back, or replaced by that of another run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cockpit.session.activity.heartbeat import Heartbeat
from engine.errors import UserError
from engine.journal.tail import JournalTail


class JournalFile:
    """Opens the file at `path` by `open_tail`, and again when another file is there; `life` says when to look.

    `tail` reads the file that is open, `None` before the first one.
    """

    def __init__(self, path: Path, open_tail: Callable[[], JournalTail], life: Heartbeat) -> None:
        self.tail: JournalTail | None = None
        self._path = path
        self._open_tail = open_tail
        self._life = life
        self._inode = 0
        self._is_first = True
        self._was_lost = False  # there was no file at the last look

    def is_replaced(self, now: float) -> bool:
        """Return whether another file than the open one is in the journal's place, or none is open.

        Raises UserError if there is no file.
        """
        if self.tail is None:
            return True
        if not (self._life.due(now) or self._was_lost):
            return False
        self._was_lost = True
        is_same_file = _inode_of(self._path) == self._inode
        self._was_lost = False
        return not is_same_file

    def open(self) -> None:
        """Open the file that is in the journal's place now, and close the former one. Raises UserError."""
        tail = self._open_tail()
        inode = _inode_of(self._path)
        self._is_first = self.tail is None
        self.close()
        self.tail, self._inode = tail, inode

    def is_same_run(self) -> bool:
        """Return whether the open file is of the run that the former one was of. Raises UserError."""
        assert self.tail is not None
        with self.tail.snapshot():
            return not self._is_first and self._life.is_of(self.tail.session())

    def close(self) -> None:
        """Close the file that is open, if any."""
        if self.tail is not None:
            self.tail.close()
            self.tail = None


def _inode_of(path: Path) -> int:
    """Return the number of the file that bears the journal's name now. Raises UserError."""
    try:
        return os.stat(path).st_ino
    except OSError as error:
        if not path.parent.exists():
            raise UserError("cannot read the run: its directory is gone") from None
        raise UserError(f"cannot read {path}: {error.strerror}") from None
