"""Follow a journal that is written: a version number that changes with every commit, and bounded queries."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from engine.errors import UserError
from engine.journal.disk.schema import has_layers, mend_of
from engine.journal.reader import Entry, entry_of
from engine.journal.series import Rows, lineage_of, unpack_rows
from engine.journal.sessions import WriterSession, newest_session
from engine.journal.store import journal_file, open_at_rest, open_readable
from engine.protocol.codec import Json, WireError, from_text
from engine.protocol.record import record

PointTable = Literal["steps", "validations", "layers"]

SPREAD_ROWS: Final = 4_096
"""Rows that `JournalTail.progress` looks up one by one in a long range."""

Lineage = tuple[tuple[int, int | None], ...]
"""Branches that count, oldest first, each with its last step that counts (None: all)."""

Mark = tuple[int, int, float]
"""Branch, step and time of a table's newest row; unchanged if the table is."""


@record
class StepRange:
    """The steps `first` to `last`, both included, of one branch in one table."""

    table: PointTable
    branch: int
    first: int
    last: int


@record
class EventPage:
    """Entries in the order of their numbers; `num_read` counts the rows up to `last_id`, unknown kinds included."""

    entries: tuple[Entry, ...]
    last_id: int
    num_read: int


class JournalTail:
    """A read-only view for many queries a second. Raises UserError if the journal is missing or damaged.

    Call every query except `version` inside `snapshot`, so that they see the same moment. With `at_rest` no process
    writes the journal, and reading leaves no trace in the directory.
    """

    def __init__(self, path: Path, *, busy_seconds: float, at_rest: bool = False) -> None:
        self.path = journal_file(path)
        self._connection = open_at_rest(path) if at_rest else open_readable(path, busy_seconds=busy_seconds)
        self._layouts: dict[int, tuple[str, ...]] = {}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def version(self) -> int:
        """Return a number that changes when another connection commits; takes microseconds."""
        with self._complaining():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def snapshot(self) -> Generator[None, None, None]:
        """Run the queries inside on one moment of the journal."""
        with self._complaining():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    def state_text(self) -> str | None:
        """Return the last state as it was written, `None` before the first."""
        row = self._connection.execute("SELECT body FROM state").fetchone()
        return None if row is None else str(row[0])

    def session(self) -> WriterSession | None:
        """Return the newest session of a writer, `None` before the first."""
        return newest_session(self._connection)

    def lineage(self) -> Lineage:
        """Return the branches that count now."""
        return lineage_of(self._connection, None)

    def meta(self, key: str) -> Json:
        """Return the JSON value of `key`, `None` if it is absent or cannot be read."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        try:
            return None if row is None else from_text(row[0])
        except WireError:
            return None

    def events(self, after_id: int, *, limit: int) -> EventPage:
        """Return the next `limit` events after that number, without those of an unknown kind."""
        query = "SELECT * FROM events WHERE id > ? ORDER BY id LIMIT ?"
        rows = self._connection.execute(query, (after_id, limit)).fetchall()
        entries = tuple(entry for row in rows if (entry := _understood(row)) is not None)
        return EventPage(entries, rows[-1][0] if rows else after_id, len(rows))

    def mark(self, table: PointTable) -> Mark | None:
        """Return the newest row of a table, `None` if it is empty."""
        query = f"SELECT branch, step, time FROM {table} ORDER BY branch DESC, step DESC LIMIT 1"
        return self._connection.execute(query).fetchone()

    def has_layers(self) -> bool:
        """Return whether the journal has the table of single layers, which an old one lacks."""
        return has_layers(self._connection)

    def oldest_step(self, span: StepRange) -> int | None:
        """Return the first recorded step inside `span`, `None` if there is none."""
        query = f"SELECT step FROM {span.table} WHERE branch = ? AND step BETWEEN ? AND ? ORDER BY step LIMIT 1"
        row = self._connection.execute(query, (span.branch, span.first, span.last)).fetchone()
        return None if row is None else int(row[0])

    def count(self, span: StepRange) -> int:
        """Count the rows of `span`, by reading every one."""
        query = f"SELECT count(*) FROM {span.table} WHERE branch = ? AND step BETWEEN ? AND ?"
        return int(self._connection.execute(query, (span.branch, span.first, span.last)).fetchone()[0])

    def rows(self, span: StepRange, *, limit: int, newest: bool = False) -> Rows:
        """Return the first (or `newest`) rows inside `span`, at most `limit`."""
        query = (
            f"SELECT step, layout, vals FROM {span.table} WHERE branch = ? AND step BETWEEN ? AND ?"
            f" ORDER BY step {'DESC' if newest else 'ASC'} LIMIT ?"
        )
        found = self._connection.execute(query, (span.branch, span.first, span.last, limit)).fetchall()
        return unpack_rows(found[::-1] if newest else found, self._names)

    def sessions(self) -> tuple[tuple[float, float], ...]:
        """Return when each writer's session began, and when it ended or gave its last sign of life."""
        rows = self._connection.execute("SELECT started, coalesce(ended, heartbeat) FROM sessions ORDER BY id")
        return tuple((float(started), float(ended)) for started, ended in rows)

    def progress(self, span: StepRange, *, most: int) -> list[tuple[int, float, float]]:
        """Return step, epoch and time of the rows of `span`; of a longer one, `most` rows or fewer, evenly spread."""
        query = f"SELECT step, epoch, time FROM {span.table} WHERE branch = ? AND step BETWEEN ? AND ? ORDER BY step"
        found = self._connection.execute(f"{query} LIMIT ?", (span.branch, span.first, span.last, most + 1)).fetchall()
        if len(found) <= most:
            return found
        newest = self._connection.execute(f"{query} DESC LIMIT 1", (span.branch, span.first, span.last)).fetchone()
        first, last = int(found[0][0]), int(newest[0])
        count = min(most, SPREAD_ROWS)
        wanted = [first + (last - first) * at // count for at in range(count)]
        spread = (self._connection.execute(f"{query} LIMIT 1", (span.branch, step, span.last)) for step in wanted)
        return list(dict.fromkeys([*(cursor.fetchone() for cursor in spread), newest]))

    def _names(self, layout: int) -> tuple[str, ...]:
        """Return the column names of a layout, which never change; empty for an unknown layout."""
        if layout not in self._layouts:
            row = self._connection.execute("SELECT names FROM layouts WHERE id = ?", (layout,)).fetchone()
            self._layouts[layout] = () if row is None else tuple(map(str, json.loads(row[0])))
        return self._layouts[layout]

    @contextmanager
    def _complaining(self) -> Generator[None, None, None]:
        """Raise UserError for a file that is locked or damaged."""
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise UserError(f"cannot read {self.path}: {error}{mend_of(error)}") from error


# `Any`: SQLite's rows have no static type.
def _understood(row: tuple[Any, ...]) -> Entry | None:
    try:
        return entry_of(row)
    except (WireError, ValueError):
        return None
