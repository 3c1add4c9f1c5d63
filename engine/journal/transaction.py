"""Data waiting to be written to the journal, and the transaction that writes them."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final

from engine.journal.store import writing
from engine.protocol import wire
from engine.protocol.record import record
from engine.protocol.state import RunState

if TYPE_CHECKING:  # readers of a run's session, and the first frame, need no numpy
    import numpy as np
    from numpy.typing import NDArray

_ONE_ROW: Final = "(?, ?, ?, ?, ?, ?)"
_ROWS_PER_STATEMENT: Final = 32
_MANY_ROWS: Final = ", ".join([_ONE_ROW] * _ROWS_PER_STATEMENT)


@record
class Point:
    """One row of metrics for the table `table`; `time` in seconds since 1970."""

    table: str
    step: int
    epoch: float
    time: float
    names: tuple[str, ...]
    values: array[float]

    def rows(self, branch: int, layout: int) -> Iterator[tuple[object, ...]]:
        """Yield the row of its table."""
        yield branch, self.step, self.epoch, self.time, layout, self.values.tobytes()


@record
class StepPoints:
    """Rows of metrics of several steps, with the same names; `values` is the float32 array (steps, names)."""

    steps: Sequence[int]
    epochs: Sequence[float]
    times: Sequence[float]
    names: tuple[str, ...]
    values: NDArray[np.float32]
    table: str = "steps"

    def rows(self, branch: int, layout: int) -> Iterator[tuple[object, ...]]:
        """Yield the rows of the table of steps."""
        packed, width = self.values.tobytes(), 4 * len(self.names)
        for number, (step, epoch, at) in enumerate(zip(self.steps, self.epochs, self.times, strict=True)):
            yield branch, step, epoch, at, layout, packed[number * width : (number + 1) * width]


@record
class EventRow:
    """One row of the event table, without its branch."""

    time: float
    step: int
    actor: str
    command_id: int | None
    status: str
    reason: str
    kind: str
    body: str


@record
class Branch:
    """The start of a new branch, which supersedes rows after `from_step`."""

    from_step: int
    time: float


@record
class Meta:
    """A JSON text stored under `key`."""

    key: str
    text: str


@dataclass(slots=True)
class Barrier:
    """A request to be notified when all earlier items are on disk, or have failed."""

    passed: threading.Event = field(default_factory=threading.Event)
    committed: bool = False

    def open(self, *, committed: bool) -> None:
        """Wake the waiting thread."""
        self.committed = committed
        self.passed.set()


Item = Point | StepPoints | EventRow | Branch | Meta | Barrier


def count_points(item: Item) -> int:
    """Return the number of rows of metrics in `item`."""
    return len(item.steps) if isinstance(item, StepPoints) else int(isinstance(item, Point))


@record
class Transaction:
    """Items in recorded order, the latest state, and their session and branch."""

    items: Sequence[Item]
    state: RunState | None
    session: int
    branch: int


def write_batch(connection: sqlite3.Connection, batch: Transaction) -> int:
    """Write `batch` in one transaction, completely or not at all, and return the current branch.

    Raises sqlite3.Error if nothing was written.
    """
    state = None if batch.state is None else wire.state_to_text(batch.state)
    with writing(connection):
        branch = _write_items(connection, batch)
        now = time.time()
        if state is not None:
            connection.execute("INSERT OR REPLACE INTO state VALUES (1, ?, ?)", (now, state))
        connection.execute("UPDATE sessions SET heartbeat = ? WHERE id = ?", (now, batch.session))
    return branch


def _write_items(connection: sqlite3.Connection, batch: Transaction) -> int:
    branch = batch.branch
    layouts: dict[tuple[str, ...], int] = {}
    points: dict[str, list[tuple[object, ...]]] = {}
    events: list[tuple[object, ...]] = []
    for item in batch.items:
        match item:
            case Point() | StepPoints():
                if item.names not in layouts:
                    layouts[item.names] = _layout(connection, item.names)
                points.setdefault(item.table, []).extend(item.rows(branch, layouts[item.names]))
            case EventRow():
                row = (item.time, branch, item.step, item.actor, item.command_id)
                events.append((*row, item.status, item.reason, item.kind, item.body))
            case Branch():
                branch += 1
                connection.execute("INSERT INTO branches VALUES (?, ?, ?)", (branch, item.from_step, item.time))
            case Meta():
                connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (item.key, item.text))
            case Barrier():
                pass
    for table, rows in points.items():
        _insert_points(connection, table, rows)
    insert_events(connection, events)
    return branch


def _insert_points(connection: sqlite3.Connection, table: str, rows: Sequence[tuple[object, ...]]) -> None:
    """Insert rows, many by one statement: each statement gives up the interpreter's lock and waits for it again."""
    insert = f"INSERT OR REPLACE INTO {table} VALUES "
    num_together = len(rows) // _ROWS_PER_STATEMENT * _ROWS_PER_STATEMENT
    for start in range(0, num_together, _ROWS_PER_STATEMENT):
        together = rows[start : start + _ROWS_PER_STATEMENT]
        connection.execute(insert + _MANY_ROWS, tuple(chain.from_iterable(together)))
    connection.executemany(insert + _ONE_ROW, rows[num_together:])


def insert_events(connection: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Append rows of (time, branch, step, actor, command_id, status, reason, kind, body) to the event table."""
    connection.executemany("INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)


def newest_branch(connection: sqlite3.Connection) -> int:
    """Return the id of the last branch; 0 if there is none."""
    return int(connection.execute("SELECT max(id) FROM branches").fetchone()[0])


def _layout(connection: sqlite3.Connection, names: tuple[str, ...]) -> int:
    """Return the id of the layout with these column names, and create it if needed."""
    text = json.dumps(names)
    connection.execute("INSERT OR IGNORE INTO layouts (names) VALUES (?)", (text,))
    return int(connection.execute("SELECT id FROM layouts WHERE names = ?", (text,)).fetchone()[0])
