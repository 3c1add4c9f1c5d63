"""The engine's side of the journal: recording costs microseconds, a thread of its own writes to the disk."""

from __future__ import annotations

import sqlite3
import threading
import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from engine.errors import UserError
from engine.journal.store import journal_file, storable
from engine.journal.transaction import Barrier, Branch, EventRow, Item, Meta, Point
from engine.journal.writer_home import JournalHome
from engine.protocol import codec, wire
from engine.protocol.events import Event, Status
from engine.protocol.state import RunState

COMMIT_SECONDS = 0.1
"""How often there is a commit at most, and so how long a recorded row may wait for its own."""

GATHER_SECONDS = 0.004
"""After a quiet time a row wakes the writer; what is recorded within this time at the same boundary goes along."""

HEARTBEAT_SECONDS = 1.0
"""How often the journal is touched when nothing happens."""

RETRY_SECONDS = 1.0
"""How long to wait after the disk took nothing."""

ROWS_PER_COMMIT = 5_000

MAX_PENDING = 200_000
"""Items kept in memory while the disk takes none; further metric rows are dropped and counted, events are kept."""


class JournalWriter:
    """Records what a run does. Every `record_*` returns at once; `failure` says why the disk takes nothing, if so.

    Record the state before the event that it follows from, and a reader never sees an event without its effect.
    Rows are stamped by `clock`, in seconds since 1970.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time):
        self._clock = clock
        self.path = journal_file(path)
        self.failure: str | None = None
        self.dropped = 0
        self._pending: deque[Item] = deque()
        self._state: RunState | None = None
        self._written_state: RunState | None = None
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._closing = False
        self._last_commit = 0.0
        self._thread: threading.Thread | None = None
        self._home = JournalHome(self.path)

    def start(self) -> None:
        """Open (or make) the journal and begin a session.

        Raises UserError when the file cannot be used or another writer has it.
        """
        try:
            self._home.open()
        except sqlite3.Error as error:
            raise UserError(f"cannot write to {self.path}: {error}") from error
        self._thread = threading.Thread(target=self._work, name="journal-writer", daemon=True)
        self._thread.start()

    def open_branch(self, from_step: int) -> None:
        """Go on from `from_step`: rows of former branches after it are superseded, and kept."""
        self._add(Branch(from_step, self._clock()))

    def record_step(self, step: int, epoch: float, names: tuple[str, ...], values: Sequence[float]) -> None:
        """The metrics of training step `step`; `epoch` is fractional. Values become float32, NaN and Inf stay such."""
        self._record_point(Point("steps", step, epoch, self._clock(), names, array("f", values)))

    def record_validation(self, step: int, epoch: float, names: tuple[str, ...], values: Sequence[float]) -> None:
        """The metrics of a validation after training step `step`; a second one at the same step takes its place."""
        self._record_point(Point("validations", step, epoch, self._clock(), names, array("f", values)))

    def _record_point(self, point: Point) -> None:
        assert len(point.names) == len(point.values), f"{len(point.names)} names for {len(point.values)} values"
        if len(self._pending) >= MAX_PENDING:
            self.dropped += 1
        else:
            self._add(point)

    def record_event(
        self,
        step: int,
        event: Event,
        *,
        status: Status = Status.NOTED,
        reason: str = "",
        actor: str = "engine",
        command_id: int | None = None,
    ) -> None:
        """What happened at the boundary before `step`; with `command_id` and a status, how that command ended."""
        kind, body = wire.kind_of(event), wire.event_to_text(event)
        who, why = storable(actor), storable(reason)
        self._add(EventRow(self._clock(), step, who, command_id, status.value, why, kind, body))

    def record_state(self, state: RunState) -> None:
        """The state of the run from now on; the latest wins."""
        self._state = state
        if not self._wake.is_set():
            self._wake.set()

    def set_meta(self, key: str, json_value: codec.Json) -> None:
        """Remember a JSON value under `key`; the latest wins."""
        self._add(Meta(key, codec.to_text(json_value)))

    def flush(self, timeout: float = 10) -> bool:
        """Wait up to `timeout` seconds until everything recorded so far is committed; False where it is not."""
        barrier, deadline = Barrier(), time.monotonic() + timeout
        self._add(barrier)
        self._hurry.set()
        while self._thread is not None and self._thread.is_alive() and time.monotonic() < deadline:
            if barrier.passed.wait(min(COMMIT_SECONDS, max(0.0, deadline - time.monotonic()))):
                break
        return barrier.committed

    def close(self) -> None:
        """Commit what is left, answer every open command with a refusal, end the session, give the file back."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._closing = True
        self._hurry.set()
        self._wake.set()
        thread.join()
        self._home.close()

    def take_losses(self) -> list[str]:
        """Return a sentence for each time that the journal's files were lost and mended since the last call."""
        losses = self._home.losses
        return [losses.popleft() for _ in range(len(losses))]

    def _add(self, item: Item) -> None:
        self._pending.append(item)
        if not self._wake.is_set():
            self._wake.set()

    def _work(self) -> None:
        """The writer thread: a commit soon after something is recorded until `close`, then the last ones."""
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
        """Wait for something to write, or for the next sign of life; never commit more often than is worth it."""
        if self.failure:
            self._hurry.wait(RETRY_SECONDS)
        elif self._wake.wait(HEARTBEAT_SECONDS):
            rest = self._last_commit + COMMIT_SECONDS - time.monotonic()
            self._hurry.wait(max(rest, GATHER_SECONDS))
        self._wake.clear()
        self._hurry.clear()

    def _drain(self) -> None:
        """Commit what waits, a bounded number of rows at a time, until nothing is left or the disk takes no more."""
        due = time.monotonic() - self._last_commit >= HEARTBEAT_SECONDS
        fresh = self._state is not self._written_state
        while due or fresh or self._pending:
            if not self._commit():
                return
            due = fresh = False

    def _commit(self) -> bool:
        items, state = self._take()
        try:
            self._home.write(items, state)
        except (sqlite3.Error, OSError, UserError) as error:
            self.failure = str(error)
            self._pending.extendleft(item for item in reversed(items) if not isinstance(item, Barrier))
        else:
            self.failure, self._written_state, self._last_commit = None, state, time.monotonic()
        for item in items:
            if isinstance(item, Barrier):
                item.open(committed=self.failure is None)
        return self.failure is None

    def _take(self) -> tuple[list[Item], RunState | None]:
        """What was recorded first; the state is read last, so that it is as new as the events beside it."""
        count = min(len(self._pending), ROWS_PER_COMMIT)
        return [self._pending.popleft() for _ in range(count)], self._state

    def _end_session(self) -> None:
        try:
            self._home.end(self._state)
        except (sqlite3.Error, OSError, UserError) as error:
            self.failure = str(error)
