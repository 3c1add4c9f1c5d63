"""The engine's inbox: commands that other processes wrote to the journal, each returned exactly once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from engine.errors import UserError
from engine.journal.disk.open_files import identity_of
from engine.journal.sessions import UNANSWERED, CommandRow, newest_session, refuse
from engine.journal.store import journal_file, open_writable
from engine.protocol import wire
from engine.protocol.codec import WireError
from engine.protocol.commands import Request

MAX_REQUESTS = 1_000
"""Maximum number of commands per `poll`, so that a flood cannot delay a step."""


class Inbox:
    """Polled by the engine's thread at every step boundary. Open it after the writer has started its session."""

    def __init__(self, path: Path):
        self._file = journal_file(path)
        self._identity = identity_of(self._file)
        self._connection = open_writable(path)
        session = newest_session(self._connection)
        self._before = session.commands_before if session else 0
        self._cursor = self._before
        self._seen_version = -1
        self.failure: str | None = None

    def poll(self) -> list[Request]:
        """Return the commands since the last call, oldest first. Takes microseconds if there are none.

        An unreadable command is refused here. If the file is unreadable, `failure` is the reason and no command is
        lost.
        """
        try:
            self._follow_file()
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
            if version == self._seen_version:
                return []
            rows = self._arrived()
            requests = self._readable(rows)
        except (sqlite3.Error, UserError) as error:
            self.failure = str(error)
            return []
        self.failure = None
        if rows:
            self._cursor = rows[-1][0]
        if len(rows) < MAX_REQUESTS:
            self._seen_version = version
        return requests

    def stale(self) -> list[Request]:
        """Return unanswered commands of former sessions, which must be refused."""
        rows = self._connection.execute(UNANSWERED, (0, self._before)).fetchall()
        return self._readable(rows)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _follow_file(self) -> None:
        """Open the new journal if the writer has replaced a deleted one."""
        identity = identity_of(self._file)
        if identity is None or identity == self._identity:
            return
        former, self._connection = self._connection, open_writable(self._file)
        former.close()
        self._identity, self._seen_version = identity, -1

    def _arrived(self) -> list[CommandRow]:
        query = f"{UNANSWERED} LIMIT {MAX_REQUESTS}"
        return self._connection.execute(query, (self._cursor, 2**62)).fetchall()

    def _readable(self, rows: Sequence[CommandRow]) -> list[Request]:
        requests: list[Request] = []
        for number, actor, body in rows:
            try:
                requests.append(Request(number, actor, wire.command_from_text(body), wire.reason_from_text(body)))
            except WireError as error:
                refuse(self._connection, [(number, actor, body)], str(error))
        return requests
