"""The writer's connection, lock and session, which are restored if the journal's files disappear."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import deque
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from engine.errors import UserError
from engine.journal.disk.lock import Lock, try_lock
from engine.journal.disk.open_files import Identity, JournalFiles, identity_of
from engine.journal.sessions import begin_session, end_session
from engine.journal.store import create_journal
from engine.journal.transaction import Barrier, Item, Meta, StepPoints, Transaction, newest_branch, write_batch
from engine.protocol.state import RunState

MAX_REMEMBERED: Final = 20_000
"""Number of written rows kept in memory, in case the journal is damaged beyond copying."""

_VALUES_OF_A_ROW: Final = 256

_BROKEN: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class JournalHome:
    """An open journal at `file`, for one thread. All methods except `close` raise sqlite3.Error, OSError or UserError.

    Deleted files still exist for the open connection: their rows are copied into a new journal at the same path. A
    damaged journal is written again from memory.
    """

    def __init__(self, file: Path) -> None:
        self.losses: deque[str] = deque()
        """Sentences about losses and repairs that were not yet fetched."""
        self._file = file
        self._files = JournalFiles(file)
        self._is_broken = False
        self._meta: dict[str, Meta] = {}
        self._rows: deque[Item] = deque()
        self._num_rows = 0
        self._lock: Lock | None = None
        self._locked: Identity | None = None
        self._former: list[sqlite3.Connection] = []

    def open(self) -> None:
        """Open or create the journal, lock it for this process, and begin a session."""
        self.connection = create_journal(self._file)
        try:
            self._take_place()
            self._session = begin_session(self.connection)
            self._branch = newest_branch(self.connection)
        except (UserError, sqlite3.Error):
            self.close()
            raise
        self._files.learn()

    def write(self, items: Sequence[Item], state: RunState | None) -> None:
        """Write `items` and the newest state in one transaction, completely or not at all."""
        self.mend(state)
        try:
            self._branch = write_batch(self.connection, Transaction(items, state, self._session, self._branch))
        except sqlite3.Error as error:
            self._is_broken = self._is_broken or _is_broken(error)
            raise
        self._remember(items)
        self._files.learn()

    def mend(self, state: RunState | None) -> None:
        """Restore the journal if its files were deleted, replaced, truncated or damaged."""
        lost = self._files.lost()
        if not lost and self._files.is_cut():
            self._is_broken = not _is_sound(self._file)
            self._files.forget()
            self._files.learn()
        if not (lost or self._is_broken):
            return
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._file.parent in lost:
            self._file.parent.chmod(0o700)  # a checkpoint may have created it first, as part of its path
        self._take_place()
        copy = None if self._is_broken else self._copied()
        kept = self._files.make_room(is_broken=copy is None)
        if copy is not None:
            copy.replace(self._file)
        self._files.forget()
        self._reopen(None if copy is not None else state)
        self.losses.append(_sentence(self._file, lost, kept, num_rows=self._num_rows if copy is None else None))

    def end(self, state: RunState | None) -> None:
        """End the session and refuse unanswered commands."""
        self.mend(state)
        end_session(self.connection, self._session)
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file and release its lock."""
        for connection in (self.connection, *self._former):
            connection.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _take_place(self) -> None:
        """Lock the directory, unless it is already locked."""
        if identity_of(self._file.parent) == self._locked:
            return
        lock = try_lock(self._file.parent)
        if lock is None:
            raise UserError(f"cannot write to {self._file}: another process writes it; stop that run first")
        if self._lock is not None:
            self._lock.release()
        self._lock, self._locked = lock, identity_of(self._file.parent)

    def _copied(self) -> Path | None:
        """Copy all rows visible to the connection to a file next to the journal; return `None` if it is damaged."""
        copy = self._file.with_name(f"{self._file.name}.copy")
        copy.unlink(missing_ok=True)
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        try:
            with closing(sqlite3.connect(copy)) as target:
                self.connection.backup(target)
        except sqlite3.Error as error:
            copy.unlink(missing_ok=True)
            if not _is_broken(error):
                raise
            return None
        return copy

    def _reopen(self, state: RunState | None) -> None:
        """Open the file at the journal's path: a complete copy, or a new file filled from memory.

        The former connection stays open: closing it would make SQLite delete the new journal's log by its name.
        """
        self._former.append(self.connection)
        self.connection = create_journal(self._file)
        self._is_broken = False
        if _knows(self.connection, self._session):
            self._files.learn()
            return
        self._session = begin_session(self.connection)
        # Command ids must be unique, and the former ones are unknown here.
        self.connection.execute("INSERT INTO sqlite_sequence VALUES ('commands', ?)", (int(time.time() * 1000),))
        items = [*self._meta.values(), *self._rows]
        self._branch = write_batch(self.connection, Transaction(items, state, self._session, 0))
        self._files.learn()

    def _remember(self, items: Sequence[Item]) -> None:
        for item in items:
            if isinstance(item, Meta):
                self._meta[item.key] = item
            elif not isinstance(item, Barrier):
                self._rows.append(item)
                self._num_rows += _size(item)
        while self._num_rows > MAX_REMEMBERED:
            self._num_rows -= _size(self._rows.popleft())


def _size(item: Item) -> int:
    """Return the number of rows in `item`; a long one counts as several."""
    if not isinstance(item, StepPoints):
        return 1
    return len(item.steps) * (1 + len(item.names) // _VALUES_OF_A_ROW)


def _knows(connection: sqlite3.Connection, session: int) -> bool:
    """Return whether the journal contains the session, as a copy does."""
    return connection.execute("SELECT 1 FROM sessions WHERE id = ?", (session,)).fetchone() is not None


def _is_sound(file: Path) -> bool:
    """Return whether a new reader finds the database intact."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as reader:
            return reader.execute("PRAGMA quick_check(1)").fetchall() == [("ok",)] and bool(
                reader.execute("PRAGMA user_version").fetchone()[0]
            )
    except sqlite3.Error:
        return False


def _is_broken(error: sqlite3.Error) -> bool:
    """Return whether the database itself is damaged, as opposed to a disk, lock or space error."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in _BROKEN or code == sqlite3.SQLITE_IOERR_SHORT_READ


def _sentence(file: Path, lost: Sequence[Path], kept: Path | None, *, num_rows: int | None) -> str:
    """Return a message about a loss and its repair.

    `num_rows` is the number of rows left in memory, or `None` if all were kept.
    """
    if file.parent in lost:
        what = f"the run's directory {file.parent} was deleted or moved away"
    elif kept is not None and num_rows is None:
        what = f"{file.name} was replaced by another file, which is kept as {kept.name}"
    elif num_rows is not None:
        what = f"{file.name} was damaged" + (f"; what is left of it is kept as {kept.name}" if kept else "")
    else:
        names = " and ".join(path.name for path in lost)
        what = f"{names} {'was' if len(lost) == 1 else 'were'} deleted"
    rows = "all its rows" if num_rows is None else f"the last {num_rows} rows, which were in memory"
    return f"{what}; the journal was written again at {file}, with {rows}"
