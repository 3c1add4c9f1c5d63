"""Read a run's journal once: states, events, metrics, from any process and at any time."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from engine.errors import UserError
from engine.journal.disk.open_files import identity_of
from engine.journal.disk.schema import LAYERS, POINT_TABLES, has_layers, mend_of
from engine.journal.series import Series, SeriesWindow, lineage_of, read_series
from engine.journal.sessions import WriterSession, newest_session
from engine.journal.store import journal_file, open_at_rest, open_readable
from engine.journal.task_meta import TASK, spec_of
from engine.protocol import wire
from engine.protocol.codec import Json, WireError, from_text
from engine.protocol.events import Event, Status
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec

T = TypeVar("T")
V = TypeVar("V")


@record
class Entry:
    """One event of the journal: `time` in seconds since 1970, `step` the boundary at which it happened."""

    id: int
    time: float
    branch: int
    step: int
    actor: str
    command_id: int | None
    status: Status
    reason: str
    event: Event


@record
class Newest:
    """The newest rows of a journal: (branch, step) of the last training step, and the last event and command number."""

    branch: int
    step: int
    event: int
    command: int


# `Any`: SQLite's rows have no static type.
def entry_of(row: tuple[Any, ...]) -> Entry:
    """Return the entry in one row of the event table. Raises WireError for an unknown event."""
    number, when, branch, step, actor, command_id, status, reason, kind, body = row
    return Entry(
        number, when, branch, step, actor, command_id, Status(status), reason, wire.event_from_text(kind, body)
    )


class JournalReader:
    """A read-only view of the journal at `path`, the file or its directory. Raises UserError if there is none.

    With `at_rest` no process writes the journal, and reading leaves no trace in the directory. To follow a journal
    that is written, use `JournalTail`; both decode rows with the same functions.
    """

    def __init__(self, path: Path, *, at_rest: bool = False):
        self.path = journal_file(path)
        self._identity = identity_of(self.path)
        self._connection = open_at_rest(path) if at_rest else open_readable(path)

    def is_replaced(self) -> bool:
        """Return whether another file has taken the journal's place, as after its writer found it deleted."""
        found = identity_of(self.path)
        return found is not None and found != self._identity

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def state(self) -> RunState | None:
        """Return the last state recorded, `None` before the first."""
        row = self._row("SELECT body FROM state")
        if row is None:
            return None
        spec = self.spec()
        return self._understood(lambda text: wire.state_from_text(text, spec), row[0])

    def spec(self) -> TaskSpec:
        """Return the spec of the run's task."""
        return spec_of(self.meta(TASK))

    def heartbeat(self) -> WriterSession | None:
        """Return the newest session with its last heartbeat, `None` if no writer ever started."""
        return self._query(lambda: newest_session(self._connection))

    def is_alive(self) -> bool:
        """Return whether a process writes this journal now."""
        session = self.heartbeat()
        return session is not None and session.is_alive()

    def meta(self, key: str) -> Json:
        """Return the JSON value of `key`, `None` if it is absent."""
        row = self._row("SELECT value FROM meta WHERE key = ?", key)
        return None if row is None else self._understood(from_text, row[0])

    def metric_names(self, *, of_layers: bool = False) -> tuple[str, ...]:
        """Return every metric that was recorded, training before validation, in the order of first appearance.

        Those of single layers are left out, or follow the others with `of_layers`.
        """
        names: dict[str, None] = {}
        has_more = of_layers and self._query(lambda: has_layers(self._connection))
        tables = (*POINT_TABLES, LAYERS) if has_more else POINT_TABLES
        queries = (
            f"SELECT names FROM layouts WHERE id IN (SELECT layout FROM {table}) ORDER BY id" for table in tables
        )
        for (text,) in [row for query in queries for row in self._rows(query)]:
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
        """Return the metrics `names` at steps `first` to `last`, both included, without superseded rows.

        `branch` is the branch that the lineage ends in. A name that was never recorded is absent everywhere.
        """
        window = SeriesWindow(first, last, None if branch == "current" else branch)
        return self._query(lambda: read_series(self._connection, tuple(names), window))

    def lineage(self) -> tuple[tuple[int, int | None], ...]:
        """Return the current lineage, oldest first: each branch and its last step that counts (None: all)."""
        return self._query(lambda: lineage_of(self._connection, None))

    def events(self, after_id: int = 0, kinds: Collection[str] | None = None) -> list[Entry]:
        """Return the events numbered above `after_id`, oldest first; only those of `kinds` ('lr_scaled') if given."""
        marks = "" if kinds is None else f" AND kind IN ({','.join('?' * len(kinds))})"
        rows = self._rows(f"SELECT * FROM events WHERE id > ?{marks} ORDER BY id", after_id, *(kinds or ()))
        return [self._entry(row) for row in rows]

    def outcome(self, command_id: int) -> Entry | None:
        """Return the outcome of the command with that number, `None` while it is open."""
        row = self._row(
            "SELECT * FROM events WHERE command_id = ? AND status != 'noted' ORDER BY id LIMIT 1", command_id
        )
        return None if row is None else self._entry(row)

    def newest_ids(self) -> Newest:
        """Return the numbers of the newest rows."""
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
        """Run `read`. Raises UserError for a damaged file."""
        try:
            return read()
        except (sqlite3.Error, ValueError) as error:
            raise UserError(f"cannot read {self.path}: {error}{mend_of(error)}") from error

    def _understood(self, decode: Callable[[V], T], stored: V) -> T:
        try:
            return decode(stored)
        except WireError as error:
            raise UserError(f"{self.path} has content unknown to this program: {error}") from error
