"""Send a command to a run from any process, and wait for its outcome."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from engine.errors import UserError
from engine.journal.disk.open_files import identity_of
from engine.journal.disk.schema import mend_of
from engine.journal.reader import Entry, JournalReader
from engine.journal.sessions import newest_session, why_unread
from engine.journal.store import journal_file, open_writable, storable
from engine.protocol import wire
from engine.protocol.commands import Command

POLL_SECONDS = 0.05


class Sender:
    """An open connection that sends commands to the run at `path`, for callers that send many and must not wait."""

    def __init__(self, path: Path, *, busy_seconds: float | None = None) -> None:
        self._path = path
        self._identity = identity_of(journal_file(path))
        self._connection = open_writable(path, busy_seconds=busy_seconds)

    def is_replaced(self) -> bool:
        """Return whether another file has replaced the journal, so that commands sent here are not read."""
        return identity_of(journal_file(self._path)) != self._identity

    def send(self, command: Command, actor: str, reason: str = "") -> int | None:
        """Put `command` with its sender's reason into the inbox and return its id; `None` if the journal was busy.

        Raises UserError if no living run would read it, or the journal cannot be written.
        """
        try:
            return _insert(self._connection, self._path, actor, wire.command_to_text(command, reason))
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
                return None
            raise UserError(f"cannot write to {journal_file(self._path)}: {error}{mend_of(error)}") from error
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def send(path: Path, command: Command, actor: str, reason: str = "") -> int:
    """Send `command`, with the sender's reason, to the run at `path` and return its id.

    Raises UserError if no living run would read it.
    """
    with closing(Sender(path)) as sender:
        number = sender.send(command, actor, reason)
    if number is None:
        raise UserError(f"cannot write to {journal_file(path)}: database is locked")
    return number


def _insert(connection: sqlite3.Connection, path: Path, actor: str, body: str) -> int:
    """Insert the command in the transaction that found the run alive.

    A run that ends refuses earlier commands, and no later ones are inserted.
    """
    connection.execute("BEGIN IMMEDIATE")
    session = newest_session(connection)
    if session is None or not session.is_alive():
        connection.execute("ROLLBACK")
        raise UserError(why_unread(journal_file(path).parent.name, session))
    cursor = connection.execute("INSERT INTO commands VALUES (NULL, ?, ?, ?)", (time.time(), storable(actor), body))
    number = cursor.lastrowid
    connection.execute("COMMIT")
    assert number is not None
    return number


def await_outcome(path: Path, command_id: int, timeout: float) -> Entry | None:
    """Return the outcome of the command, or `None` after `timeout` seconds or if the run died."""
    deadline = time.monotonic() + timeout
    reader = JournalReader(path)
    try:
        while True:
            if reader.is_replaced():
                former, reader = reader, JournalReader(path)
                former.close()
            alive = reader.is_alive()
            outcome = reader.outcome(command_id)
            if outcome is not None or not alive or time.monotonic() >= deadline:
                return outcome
            time.sleep(POLL_SECONDS)
    finally:
        reader.close()
