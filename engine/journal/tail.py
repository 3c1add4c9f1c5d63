"""Follow a journal efficiently: one cheap check for news, and rows as blocks of numbers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.journal.reader import Entry, entry_of
from engine.journal.series import lineage_of
from engine.journal.sessions import WriterSession, newest_session
from engine.journal.store import journal_file, open_readable
from engine.protocol.codec import Json, WireError, from_text

PointTable = Literal["steps", "validations"]

Lineage = tuple[tuple[int, int | None], ...]
"""Valid branches, oldest first, each with its last valid step (`None`: all)."""

Mark = tuple[int, int, float]
"""Branch, step and time of a table's newest row. While it is unchanged, so is the table."""


@dataclass(frozen=True, slots=True)
class StepRange:
    """The steps `first` to `last`, both included, of one branch in one table."""

    table: PointTable
    branch: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class RowBlock:
    """The rows of one layout: row `at[i]` of S has `values_NK[i]`, one value per entry of the K `names`."""

    layout: int
    names: tuple[str, ...]
    at: NDArray[np.intp]
    values_NK: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rows:
    """S rows, steps ascending, as packed in the journal."""

    steps: NDArray[np.int64]
    parts: tuple[RowBlock, ...]

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self.steps.size)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Entries in the order of their ids, the last id read, and the number of rows read, including unknown ones."""

    entries: tuple[Entry, ...]
    last_id: int
    num_read: int


class JournalTail:
    """A read-only view for many queries per second. Raises UserError if the journal is missing or damaged.

    Every query except `version` belongs inside `snapshot`, which makes them consistent.
    """

    def __init__(self, path: Path, *, busy_seconds: float) -> None:
        self.path = journal_file(path)
        self._connection = open_readable(path, busy_seconds=busy_seconds)
        self._layouts: dict[int, tuple[str, ...]] = {}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def version(self) -> int:
        """Return a number that changes when another connection commits. Takes microseconds."""
        with self._complaining():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def snapshot(self) -> Generator[None, None, None]:
        """Read one consistent moment of the journal inside the block."""
        with self._complaining():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    def state_text(self) -> str | None:
        """Return the last state as written, or `None` before the first."""
        row = self._connection.execute("SELECT body FROM state").fetchone()
        return None if row is None else str(row[0])

    def session(self) -> WriterSession | None:
        """Return the newest session of a writer, or `None` before the first."""
        return newest_session(self._connection)

    def lineage(self) -> Lineage:
        """Return the valid branches."""
        return lineage_of(self._connection, None)

    def meta(self, key: str) -> Json:
        """Return the JSON value stored under `key`; `None` if it is missing or unreadable."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        try:
            return None if row is None else from_text(row[0])
        except WireError:
            return None

    def events(self, after_id: int, *, limit: int) -> EventPage:
        """Return the next `limit` events after that id. Events of unknown kinds are omitted."""
        query = "SELECT * FROM events WHERE id > ? ORDER BY id LIMIT ?"
        rows = self._connection.execute(query, (after_id, limit)).fetchall()
        entries = tuple(entry for row in rows if (entry := _understood(row)) is not None)
        return EventPage(entries, rows[-1][0] if rows else after_id, len(rows))

    def mark(self, table: PointTable) -> Mark | None:
        """Return the newest row of a table, or `None` if it is empty."""
        query = f"SELECT branch, step, time FROM {table} ORDER BY branch DESC, step DESC LIMIT 1"
        return self._connection.execute(query).fetchone()

    def oldest_step(self, span: StepRange) -> int | None:
        """Return the first recorded step inside `span`, or `None`."""
        query = f"SELECT step FROM {span.table} WHERE branch = ? AND step BETWEEN ? AND ? ORDER BY step LIMIT 1"
        row = self._connection.execute(query, (span.branch, span.first, span.last)).fetchone()
        return None if row is None else int(row[0])

    def count(self, span: StepRange) -> int:
        """Return the number of rows in `span`; it reads all of them."""
        query = f"SELECT count(*) FROM {span.table} WHERE branch = ? AND step BETWEEN ? AND ?"
        return int(self._connection.execute(query, (span.branch, span.first, span.last)).fetchone()[0])

    def rows(self, span: StepRange, *, limit: int, newest: bool = False) -> Rows:
        """Return at most `limit` rows inside `span`, the first ones or, with `newest`, the last."""
        query = (
            f"SELECT step, layout, vals FROM {span.table} WHERE branch = ? AND step BETWEEN ? AND ?"
            f" ORDER BY step {'DESC' if newest else 'ASC'} LIMIT ?"
        )
        found = self._connection.execute(query, (span.branch, span.first, span.last, limit)).fetchall()
        return self._packed(found[::-1] if newest else found)

    def _packed(self, found: Sequence[tuple[int, int, bytes]]) -> Rows:
        if not found:
            return Rows(np.zeros(0, np.int64), ())
        steps, layouts, blobs = zip(*found, strict=True)
        layout_S = np.array(layouts, np.int64)
        parts: list[RowBlock] = []
        for layout in dict.fromkeys(layouts):
            at = np.flatnonzero(layout_S == layout)
            packed = b"".join(blobs) if at.size == len(found) else b"".join(blobs[row] for row in at)
            names = self._names(layout)
            if names:
                values_NK = np.frombuffer(packed, np.float32).reshape(at.size, len(names))
                parts.append(RowBlock(layout, names, at, values_NK))
        return Rows(np.array(steps, np.int64), tuple(parts))

    def _names(self, layout: int) -> tuple[str, ...]:
        """Return the column names of a layout, which never change."""
        if layout not in self._layouts:
            row = self._connection.execute("SELECT names FROM layouts WHERE id = ?", (layout,)).fetchone()
            self._layouts[layout] = () if row is None else tuple(map(str, json.loads(row[0])))
        return self._layouts[layout]

    @contextmanager
    def _complaining(self) -> Generator[None, None, None]:
        """Raise UserError if the file is locked or damaged."""
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise UserError(f"cannot read {self.path}: {error}") from error


# `Any`: SQLite's rows have no static type.
def _understood(row: tuple[Any, ...]) -> Entry | None:
    try:
        return entry_of(row)
    except (WireError, ValueError):
        return None
