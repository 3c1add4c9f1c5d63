"""The journal's file: its permissions, opening it for writing and reading, and its transactions.

SQLite in WAL mode: readers never block the writer, and a process killed at any point leaves a readable file.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.errors import UserError, undone_by_error
from engine.journal.disk.plain_files import check_plain_file
from engine.journal.disk.schema import check_format, mend_of

JOURNAL_FILE: Final = "run.sqlite"

SIDE_FILES: Final = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite keeps next to the database."""

BUSY_SECONDS: Final = 5.0

_LOG_HEADER: Final = 32
"""Number of bytes before the first frame of SQLite's log."""
_LOG_MARK: Final = 0x377F0682
"""The first four bytes of SQLite's log, without the bit for the byte order of its checksums."""


def journal_file(path: Path) -> Path:
    """Return the path of the journal at `path`, the file itself or the run's directory. It need not exist."""
    return path if path.name == JOURNAL_FILE or path.is_file() else path / JOURNAL_FILE


def create_journal(path: Path) -> sqlite3.Connection:
    """Open the journal for its writer, and create it if missing (mode 0600, directory 0700).

    Raises UserError if the file cannot be written, is not a journal, or has another format.
    """
    file = journal_file(path)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_plain(file)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
    except OSError as error:
        raise UserError(f"cannot write the journal {file}: {error.strerror}") from error
    return _opened(file, _connect_writable, create=True)


def open_writable(path: Path, *, busy_seconds: float | None = None) -> sqlite3.Connection:
    """Open an existing journal to add rows. Raises UserError if it is missing or not a journal.

    A statement waits at most `busy_seconds` for another writer; `None` means a long time.
    """
    existing = _existing(path)
    _check_plain(existing)
    return _opened(existing, lambda file: _connect_writable(file, busy_seconds))


def open_readable(path: Path, *, busy_seconds: float | None = None) -> sqlite3.Connection:
    """Open an existing journal for reading, even in a read-only directory. Raises UserError like `open_writable`."""
    file = _existing(path)
    try:
        return _opened(file, lambda file: _connect(file, "mode=ro", busy_seconds))
    except UserError:
        log = file.with_name(f"{file.name}-wal")
        if log.exists() and log.stat().st_size > 0:
            raise
        return _opened(file, lambda file: _connect(file, "immutable=1", busy_seconds))


def open_at_rest(path: Path) -> sqlite3.Connection:
    """Open a journal that no process writes, without creating or changing any file.

    Only a copy without the index of its log gets one. Raises UserError like `open_writable`.
    """
    file = _existing(path)
    log, index = (file.with_name(f"{file.name}-{suffix}") for suffix in ("wal", "shm"))
    query = "immutable=1" if not _is_log(log) else "mode=ro&readonly_shm=1" if index.exists() else "mode=ro"
    return _opened(file, lambda file: _connect(file, query, None))


def _is_log(path: Path) -> bool:
    """Return whether the file at `path` begins like a log of SQLite: with its mark and the checksum of its header.

    SQLite ignores any other content, but with a read-only index it would wait for it to change.
    """
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_LOG_HEADER)
    except OSError as error:
        raise UserError(f"cannot open {path}: {error.strerror}") from error
    mark = int.from_bytes(head[:4])
    if len(head) < _LOG_HEADER or mark & ~1 != _LOG_MARK:
        return False
    numbers = struct.unpack(">6I" if mark & 1 else "<6I", head[:24])
    first = second = 0
    for here, after in zip(numbers[::2], numbers[1::2], strict=True):
        first = (first + here + second) % 2**32
        second = (second + after + first) % 2**32
    return struct.unpack(">2I", head[24:]) == (first, second)


def _existing(path: Path) -> Path:
    file = journal_file(path)
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        status = None
    except OSError as error:
        raise UserError(f"cannot open {file}: {error.strerror}") from error
    if status is None or not stat.S_ISREG(status.st_mode):
        raise UserError(f"there is no journal at {file}")
    return file


def _check_plain(file: Path) -> None:
    """Raise UserError if writing the journal would write to a file elsewhere."""
    for suffix in ("", *SIDE_FILES):
        check_plain_file(file.with_name(file.name + suffix))


@contextmanager
def writing(connection: sqlite3.Connection) -> Generator[None]:
    """Write what the block writes in one transaction, or nothing if an error ends it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _connect_writable(file: Path, busy_seconds: float | None = None) -> sqlite3.Connection:
    connection = _connect(file, "mode=rw", busy_seconds)
    with undone_by_error(connection.close):
        connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _connect(file: Path, query: str, busy_seconds: float | None) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{file.absolute().as_uri()}?{query}",
        uri=True,
        timeout=BUSY_SECONDS if busy_seconds is None else busy_seconds,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = _read_text
    return connection


def _read_text(stored: bytes) -> str:
    """Return text as stored. Invalid UTF-8 must not hide other rows."""
    return stored.decode("utf-8", "replace")


def storable(text: str) -> str:
    """Return `text` with the characters escaped that UTF-8 cannot encode, such as lone surrogates from file names."""
    return text.encode("utf-8", "backslashreplace").decode()


def _opened(file: Path, connect: Callable[[Path], sqlite3.Connection], *, create: bool = False) -> sqlite3.Connection:
    """Return a connection to a file after checking that it is a journal of this format."""
    try:
        connection = connect(file)
        with undone_by_error(connection.close):
            check_format(connection, file, create=create)
    except sqlite3.Error as error:
        raise UserError(f"cannot open {file}: {error}{mend_of(error)}") from error
    return connection
