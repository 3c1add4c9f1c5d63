"""Following a journal cheaply: one glance tells whether anything is new, rows come as blocks of numbers."""

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
"""Branches that count, oldest first, each with the last step of it that counts (None: all)."""

Mark = tuple[int, int, float]
"""Branch, step and time of a table's newest row: when it is as before, the table is as before."""


@dataclass(frozen=True, slots=True)
class StepRange:
    """The steps `first` to `last`, both included, of one branch in one table."""

    table: PointTable
    branch: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class RowBlock:
    """The rows of one layout: row `at[i]` of S holds `values_NK[i]`, one value for each of the K `names`."""

    layout: int
    names: tuple[str, ...]
    at: NDArray[np.intp]
    values_NK: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rows:
    """S rows, steps ascending, packed as they were recorded."""

    steps: NDArray[np.int64]
    parts: tuple[RowBlock, ...]

    @property
    def size(self) -> int:
        """How many rows."""
        return int(self.steps.size)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Entries in the order of their numbers, the number read up to, and how many rows were read, strange ones too."""

    entries: tuple[Entry, ...]
    last_id: int
    num_read: int


class JournalTail:
    """A read-only view that is asked many times a second. Raises UserError where the journal is missing or damaged.

    Every query but `version` belongs inside `snapshot`, which makes them agree with each other.
    """

    def __init__(self, path: Path, *, busy_seconds: float) -> None:
        self.path = journal_file(path)
        self._connection = open_readable(path, busy_seconds=busy_seconds)
        self._layouts: dict[int, tuple[str, ...]] = {}

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def version(self) -> int:
        """A number that differs from the one before when any other connection has committed; microseconds."""
        with self._complaining():
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    @contextmanager
    def snapshot(self) -> Generator[None, None, None]:
        """What is asked inside is one moment of the journal."""
        with self._complaining():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("COMMIT")

    def state_text(self) -> str | None:
        """The last state as it was written, or None before the first."""
        row = self._connection.execute("SELECT body FROM state").fetchone()
        return None if row is None else str(row[0])

    def session(self) -> WriterSession | None:
        """The newest session of a writer, or None before the first."""
        return newest_session(self._connection)

    def lineage(self) -> Lineage:
        """The branches that count now."""
        return lineage_of(self._connection, None)

    def meta(self, key: str) -> Json:
        """The JSON value kept under `key`; None where there is none or it cannot be read."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        try:
            return None if row is None else from_text(row[0])
        except WireError:
            return None

    def events(self, after_id: int, *, limit: int) -> EventPage:
        """The next `limit` events after that number; one of a kind this program does not know is left out."""
        query = "SELECT * FROM events WHERE id > ? ORDER BY id LIMIT ?"
        rows = self._connection.execute(query, (after_id, limit)).fetchall()
        entries = tuple(entry for row in rows if (entry := _understood(row)) is not None)
        return EventPage(entries, rows[-1][0] if rows else after_id, len(rows))

    def mark(self, table: PointTable) -> Mark | None:
        """The newest row of a table, None where it is empty."""
        query = f"SELECT branch, step, time FROM {table} ORDER BY branch DESC, step DESC LIMIT 1"
        return self._connection.execute(query).fetchone()

    def oldest_step(self, span: StepRange) -> int | None:
        """The first recorded step inside `span`, None where there is none."""
        query = f"SELECT step FROM {span.table} WHERE branch = ? AND step BETWEEN ? AND ? ORDER BY step LIMIT 1"
        row = self._connection.execute(query, (span.branch, span.first, span.last)).fetchone()
        return None if row is None else int(row[0])

    def count(self, span: StepRange) -> int:
        """How many rows `span` holds; looks at every one."""
        query = f"SELECT count(*) FROM {span.table} WHERE branch = ? AND step BETWEEN ? AND ?"
        return int(self._connection.execute(query, (span.branch, span.first, span.last)).fetchone()[0])

    def rows(self, span: StepRange, *, limit: int, newest: bool = False) -> Rows:
        """The first (or `newest`) rows inside `span`, at most `limit`."""
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
        """The column names of a layout; they never change."""
        if layout not in self._layouts:
            row = self._connection.execute("SELECT names FROM layouts WHERE id = ?", (layout,)).fetchone()
            self._layouts[layout] = () if row is None else tuple(map(str, json.loads(row[0])))
        return self._layouts[layout]

    @contextmanager
    def _complaining(self) -> Generator[None, None, None]:
        """A file that turns out to be locked or damaged is the user's to know about."""
        try:
            yield
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise UserError(f"cannot read {self.path}: {error}") from error


# A row is what SQLite hands out, of no type that pyright could know: hence Any.
def _understood(row: tuple[Any, ...]) -> Entry | None:
    try:
        return entry_of(row)
    except (WireError, ValueError):
        return None
