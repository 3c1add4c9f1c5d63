"""The engine's side of the journal: recording takes microseconds, and a separate thread writes to disk."""

from __future__ import annotations

import sqlite3
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from engine.errors import UserError
from engine.journal.store import journal_file, storable
from engine.journal.transaction import Barrier, Branch, EventRow, Item, Meta, Point, StepPoints, count_points
from engine.journal.writer_home import JournalHome
from engine.protocol import codec, wire
from engine.protocol.commands import ENGINE
from engine.protocol.events import Event, Status
from engine.protocol.state import RunState

COMMIT_SECONDS = 0.1
"""Minimum seconds between commits, and so the maximum delay of a recorded row."""

GATHER_SECONDS = 0.004
"""After a quiet time, seconds from a row to the commit, so that rows of the same boundary are written together."""

HEARTBEAT_SECONDS = 1.0
"""Seconds between heartbeats if nothing is recorded."""

RETRY_SECONDS = 1.0
"""Seconds until the next attempt after a failed write."""

ROWS_PER_COMMIT = 5_000

MAX_PENDING = 200_000
"""Items kept in memory while the disk fails. Further metric rows are dropped and counted; events are kept."""


class RowCopy(Protocol):
    """A second place for the rows of a run, such as TensorBoard's files. No method waits or raises."""

    def record_step(self, step: int, names: tuple[str, ...], values: Sequence[float]) -> None:
        """Record the metrics of training step `step` (from 1)."""
        ...

    def record_validation(self, step: int, names: tuple[str, ...], values: Sequence[float]) -> None:
        """Record the metrics of a validation after training step `step`."""
        ...

    def open_branch(self, from_step: int) -> None:
        """Continue from `from_step`. Later rows of former branches are superseded."""
        ...


class JournalWriter:
    """Records a run. Every `record_*` returns immediately; `failure` is why the disk fails, or `None`.

    Record the state before the event that caused it, so that readers never see an event without its effect. Rows have
    times from `clock`, in seconds since 1970.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time):
        self._clock = clock
        self.path = journal_file(path)
        self.failure: str | None = None
        self.dropped = 0
        self._pending: deque[Item] = deque()
        self._added = self._taken = 0
        self._state: RunState | None = None
        self._written_state: RunState | None = None
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._closing = False
        self._last_commit = 0.0
        self._thread: threading.Thread | None = None
        self._home = JournalHome(self.path)
        self._copy: RowCopy | None = None

    def copy_rows_to(self, copy: RowCopy | None) -> None:
        """Give `copy` each further branch, step of `record_step` and validation too; `None` for no copy."""
        self._copy = copy

    def start(self) -> None:
        """Open or create the journal and begin a session.

        Raises UserError if the file is unusable or another writer has it.
        """
        try:
            self._home.open()
        except sqlite3.Error as error:
            raise UserError(f"cannot write to {self.path}: {error}") from error
        self._thread = threading.Thread(target=self._work, name="journal-writer", daemon=True)
        self._thread.start()

    def open_branch(self, from_step: int) -> None:
        """Continue from `from_step`. Later rows of former branches are superseded, but kept."""
        self._add(Branch(from_step, self._clock()))
        if self._copy is not None:
            self._copy.open_branch(from_step)

    def record_step(self, step: int, epoch: float, names: tuple[str, ...], values: Sequence[float]) -> None:
        """Record the metrics of training step `step`; `epoch` is fractional.

        Values become float32; NaN and Inf are kept.
        """
        self.record_points(Point("steps", step, epoch, self._clock(), names, array("f", values)))
        if self._copy is not None:
            self._copy.record_step(step, names, values)

    def record_validation(self, step: int, epoch: float, names: tuple[str, ...], values: Sequence[float]) -> None:
        """Record the metrics of a validation after training step `step`. A second one at the same step replaces it."""
        self.record_points(Point("validations", step, epoch, self._clock(), names, array("f", values)))
        if self._copy is not None:
            self._copy.record_validation(step, names, values)

    def record_points(self, points: Point | StepPoints) -> None:
        """Record rows of metrics in the journal only. While the disk fails for long, they are dropped and counted."""
        width = len(points.values) if isinstance(points, Point) else points.values.shape[1]
        assert len(points.names) == width, f"{len(points.names)} names for {width} values"
        count = count_points(points)
        if self._added - self._taken >= MAX_PENDING:  # each of the two threads changes one of them
            self.dropped += count
        else:
            self._added += count
            self._add(points)

    def record_event(
        self,
        step: int,
        event: Event,
        *,
        status: Status = Status.NOTED,
        reason: str = "",
        actor: str = ENGINE,
        command_id: int | None = None,
    ) -> None:
        """Record an event at the boundary before `step`; with `command_id`, `status` is the command's outcome."""
        kind, body = wire.kind_of(event), wire.event_to_text(event)
        who, why = storable(actor), storable(reason)
        self._add(EventRow(self._clock(), step, who, command_id, status.value, why, kind, body))

    def record_state(self, state: RunState) -> None:
        """Record the state of the run; the latest wins."""
        self._state = state
        if not self._wake.is_set():
            self._wake.set()

    def set_meta(self, key: str, json_value: codec.Json) -> None:
        """Store a JSON value under `key`; the latest wins."""
        self._add(Meta(key, codec.to_text(json_value)))

    def flush(self, timeout: float = 10) -> bool:
        """Wait up to `timeout` seconds until all earlier records are committed. Return whether they are."""
        barrier, deadline = Barrier(), time.monotonic() + timeout
        self._add(barrier)
        self._hurry.set()
        while self._thread is not None and self._thread.is_alive() and time.monotonic() < deadline:
            if barrier.passed.wait(min(COMMIT_SECONDS, max(0.0, deadline - time.monotonic()))):
                break
        return barrier.committed

    def close(self) -> None:
        """Commit the remaining records, refuse every open command, end the session and close the file."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._closing = True
        self._hurry.set()
        self._wake.set()
        thread.join()
        self._home.close()

    def take_losses(self) -> list[str]:
        """Return a sentence for each loss and repair of the journal's files since the last call."""
        losses = self._home.losses
        return [losses.popleft() for _ in range(len(losses))]

    def _add(self, item: Item) -> None:
        self._pending.append(item)
        if not self._wake.is_set():
            self._wake.set()

    def _work(self) -> None:
        """Run the writer thread: commit soon after each record until `close`, then commit the rest."""
        try:
            while not self._closing:
                self._await_work()
                self._drain()
            self._drain()
            self._end_session()
        except BaseException as error:
            self.failure = f"the journal's thread ended: {error!r}"
            raise

    def _await_work(self) -> None:
        """Wait for records or the next heartbeat, with a minimum time between commits."""
        if self.failure:
            self._hurry.wait(RETRY_SECONDS)
        elif self._wake.wait(HEARTBEAT_SECONDS):
            rest = self._last_commit + COMMIT_SECONDS - time.monotonic()
            self._hurry.wait(max(rest, GATHER_SECONDS))
        self._wake.clear()
        self._hurry.clear()

    def _drain(self) -> None:
        """Commit the waiting records in bounded batches, until none are left or the disk fails."""
        due = time.monotonic() - self._last_commit >= HEARTBEAT_SECONDS
        fresh = self._state is not self._written_state
        while (due or fresh or self._pending) and self._commit():
            due = fresh = False

    def _commit(self) -> bool:
        items, state = self._take()
        try:
            self._home.write(items, state)
        except (sqlite3.Error, OSError, UserError) as error:
            self.failure = str(error)
            self._pending.extendleft(item for item in reversed(items) if not isinstance(item, Barrier))
            self._taken -= sum(map(count_points, items))
        else:
            self.failure, self._written_state, self._last_commit = None, state, time.monotonic()
        for barrier in [item for item in items if isinstance(item, Barrier)]:
            barrier.open(committed=self.failure is None)
        return self.failure is None

    def _take(self) -> tuple[list[Item], RunState | None]:
        """Return the oldest records, and the state.

        The state is read last, so that it is as new as the events.
        """
        count = min(len(self._pending), ROWS_PER_COMMIT)
        items = [self._pending.popleft() for _ in range(count)]
        self._taken += sum(map(count_points, items))
        return items, self._state

    def _end_session(self) -> None:
        try:
            self._home.end(self._state)
        except (sqlite3.Error, OSError, UserError) as error:
            self.failure = str(error)
