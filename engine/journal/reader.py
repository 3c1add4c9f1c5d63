"""Reading a run's journal from any process, while it is written or long after."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from engine.errors import UserError
from engine.journal.disk.open_files import identity_of
from engine.journal.series import Series, SeriesWindow, lineage_of, read_series
from engine.journal.sessions import WriterSession, newest_session
from engine.journal.store import POINT_TABLES, journal_file, open_at_rest, open_readable
from engine.journal.task_meta import TASK, spec_of
from engine.protocol import wire
from engine.protocol.codec import Json, WireError, from_text
from engine.protocol.events import Event, Status
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec

T = TypeVar("T")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the journal: `time` in seconds since 1970, `step` the boundary it happened at."""

    id: int
    time: float
    branch: int
    step: int
    actor: str
    command_id: int | None
    status: Status
    reason: str
    event: Event


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest rows of a journal: (branch, step) of the last training step, and the last event and command number."""

    branch: int
    step: int
    event: int
    command: int


# A row is what SQLite hands out, of no type that pyright could know: hence Any.
def entry_of(row: tuple[Any, ...]) -> Entry:
    """The entry in one row of the event table. Raises WireError for an event this program does not know."""
    number, when, branch, step, actor, command_id, status, reason, kind, body = row
    return Entry(
        number, when, branch, step, actor, command_id, Status(status), reason, wire.event_from_text(kind, body)
    )


class JournalReader:
    """A read-only view of the journal at `path`: the file or its directory. Raises UserError where there is none.

    `at_rest` says that nobody writes it meanwhile: then reading leaves no trace in the directory.
    """

    def __init__(self, path: Path, *, at_rest: bool = False):
        self.path = journal_file(path)
        self._identity = identity_of(self.path)
        self._connection = open_at_rest(path) if at_rest else open_readable(path)

    def is_replaced(self) -> bool:
        """Whether another file is in the journal's place: its writer puts one there if the former was deleted."""
        found = identity_of(self.path)
        return found is not None and found != self._identity

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def state(self) -> RunState | None:
        """Return the last state recorded, `None` before the first."""
        row = self._row("SELECT body FROM state")
        if row is None:
            return None
        spec = self.spec()
        return self._understood(lambda text: wire.state_from_text(text, spec), row[0])

    def spec(self) -> TaskSpec:
        """Return what the run's task says of itself."""
        return spec_of(self.meta(TASK))

    def heartbeat(self) -> WriterSession | None:
        """The newest session with its last sign of life, or None when no writer ever started."""
        return self._query(lambda: newest_session(self._connection))

    def is_alive(self) -> bool:
        """A process writes this journal now."""
        session = self.heartbeat()
        return session is not None and session.is_alive()

    def meta(self, key: str) -> Json:
        """The JSON value kept under `key`, or None."""
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else self._understood(from_text, row[0])

    def metric_names(self) -> tuple[str, ...]:
        """Every metric that was ever recorded, training before validation, in the order of first appearance."""
        names: dict[str, None] = {}
        for table in POINT_TABLES:
            rows = self._rows(f"SELECT names FROM layouts WHERE id IN (SELECT layout FROM {table}) ORDER BY id")
            for (text,) in rows:
                names.update(dict.fromkeys(json.loads(text)))
        return tuple(names)

    def series(
        self,
        names: Sequence[str],
        *,
        first: int | None = None,
        last: int | None = None,
        branch: int | Literal["current"] = "current",
    ) -> Series:
        """The metrics `names` at steps `first` to `last`, both included, in one lineage: superseded rows are left out.

        `branch` is the branch that the lineage ends in. A name that was never recorded is absent everywhere.
        """
        window = SeriesWindow(first, last, None if branch == "current" else branch)
        return self._query(lambda: read_series(self._connection, tuple(names), window))

    def lineage(self) -> tuple[tuple[int, int | None], ...]:
        """The current lineage, oldest first: each branch and the last step of it that still counts (None: all)."""
        return self._query(lambda: lineage_of(self._connection, None))

    def events(self, after_id: int = 0, kinds: Collection[str] | None = None) -> list[Entry]:
        """Events with a number above `after_id`, oldest first; `kinds` keeps those words only ('lr_scaled')."""
        marks = "" if kinds is None else f" AND kind IN ({','.join('?' * len(kinds))})"
        rows = self._rows(f"SELECT * FROM events WHERE id > ?{marks} ORDER BY id", after_id, *(kinds or ()))
        return [self._entry(row) for row in rows]

    def outcome(self, command_id: int) -> Entry | None:
        """How the command with that number ended, or None while it is open."""
        row = self._row(
            "SELECT * FROM events WHERE command_id = ? AND status != 'noted' ORDER BY id LIMIT 1", command_id
        )
        return None if row is None else self._entry(row)

    def newest_ids(self) -> Newest:
        """What is newest in the journal, cheap enough to ask ten times a second."""
        point = self._row("SELECT branch, step FROM steps ORDER BY branch DESC, step DESC LIMIT 1") or (0, 0)
        row = self._row("SELECT (SELECT max(id) FROM events), (SELECT max(id) FROM commands)") or (0, 0)
        return Newest(point[0], point[1], row[0] or 0, row[1] or 0)

    def _entry(self, row: tuple[Any, ...]) -> Entry:
        return self._understood(entry_of, row)

    def _row(self, query: str, *values: object) -> tuple[Any, ...] | None:
        return self._query(lambda: self._connection.execute(query, values).fetchone())

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._query(lambda: self._connection.execute(query, values).fetchall())

    def _query(self, read: Callable[[], T]) -> T:
        """Run `read`; a file that turns out to be damaged is the user's to know about."""
        try:
            return read()
        except sqlite3.Error as error:
            raise UserError(f"cannot read {self.path}: {error}") from error

    def _understood(self, decode: Callable[[V], T], stored: V) -> T:
        try:
            return decode(stored)
        except WireError as error:
            raise UserError(f"{self.path} holds what this program does not know: {error}") from error
