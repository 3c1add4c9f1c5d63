"""Sending a command to a run from any process, and waiting for how it ends."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.journal.sessions import newest_session
from engine.journal.store import journal_file, open_writable, storable
from engine.protocol import wire
from engine.protocol.commands import Command

POLL_SECONDS = 0.05


def send(path: Path, command: Command, actor: str) -> int:
    """Put `command` before the run at `path` and return its number.

    Raises UserError when no living run would read it.
    """
    body = wire.command_to_text(command)
    with closing(open_writable(path)) as connection:
        try:
            return _insert(connection, path, actor, body)
        except sqlite3.Error as error:
            raise UserError(f"cannot write to {journal_file(path)}: {error}") from error


def _insert(connection: sqlite3.Connection, path: Path, actor: str, body: str) -> int:
    """Insert in the transaction that saw the run alive: one that ends refuses what came before, nothing comes after."""
    connection.execute("BEGIN IMMEDIATE")
    session = newest_session(connection)
    if session is None or not session.is_alive():
        connection.execute("ROLLBACK")
        raise UserError(f"the run {journal_file(path).parent.name!r} is not running: nobody would read the command")
    cursor = connection.execute("INSERT INTO commands VALUES (NULL, ?, ?, ?)", (time.time(), storable(actor), body))
    number = cursor.lastrowid
    connection.execute("COMMIT")
    assert number is not None
    return number


def await_outcome(path: Path, command_id: int, timeout: float) -> Entry | None:
    """How the command ended, or None when `timeout` seconds passed or the run died without an answer."""
    deadline = time.monotonic() + timeout
    with closing(JournalReader(path)) as reader:
        while True:
            alive = reader.is_alive()
            outcome = reader.outcome(command_id)
            if outcome is not None or not alive or time.monotonic() >= deadline:
                return outcome
            time.sleep(POLL_SECONDS)
