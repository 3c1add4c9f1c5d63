"""Sessions: one per process that wrote the journal. They show whether it is alive and which commands are stale."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from collections.abc import Sequence

from engine.journal.store import storable, writing
from engine.journal.transaction import insert_events, newest_branch
from engine.protocol import wire
from engine.protocol.codec import WireError
from engine.protocol.events import Activity, CommandRefused, Status
from engine.protocol.record import record

STALE_SECONDS = 15.0
"""Age of a heartbeat in seconds after which a session counts as dead."""

UNANSWERED = """
    SELECT id, actor, body FROM commands WHERE id > ? AND id <= ? AND NOT EXISTS
    (SELECT 1 FROM events WHERE command_id = commands.id AND status != 'noted') ORDER BY id
"""

CommandRow = tuple[int, str, str]


@record
class WriterSession:
    """One process's session with the journal.

    Times are in seconds since 1970; `ended` is `None` while it lasts or if it was interrupted.
    """

    id: int
    started: float
    ended: float | None
    heartbeat: float
    pid: int
    host: str
    commands_before: int

    @property
    def age(self) -> float:
        """Seconds since the last heartbeat."""
        return max(0.0, time.time() - self.heartbeat)

    def process_exists(self) -> bool:
        """Return False if its process does not exist. A process of another host is assumed to exist.

        The number of a silent one may belong to a younger process, or to one that was killed and not collected.
        """
        if self.host != socket.gethostname():
            return True
        return _process_exists(self.pid) and (self.age < STALE_SECONDS or _has_run_since(self.pid, self.heartbeat))

    def is_alive(self) -> bool:
        """Return whether it has not ended, its process exists, and its heartbeat is recent."""
        return self.ended is None and self.age < STALE_SECONDS and self.process_exists()


def why_unread(run: str, session: WriterSession | None) -> str:
    """Return why no process would read a command to the run whose newest session is not alive."""
    if session is None or session.ended is not None or not session.process_exists():
        return f"the run {run!r} is not running, so no process would read the command"
    silent = f"process {session.pid} on {session.host} has been silent for {session.age:.0f} s"
    return f"the run {run!r} does not read commands now: {silent}; continue it if it is suspended, or try again later"


def begin_session(connection: sqlite3.Connection) -> int:
    """Register this process as the journal's writer and return the session's id. The run is starting or resuming."""
    now = time.time()
    connection.execute("UPDATE state SET body = json_set(body, '$.activity', ?)", (Activity.STARTING.value,))
    cursor = connection.execute(
        "INSERT INTO sessions SELECT NULL, ?, NULL, ?, ?, ?, coalesce(max(id), 0) FROM commands",
        (now, now, os.getpid(), socket.gethostname()),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def newest_session(connection: sqlite3.Connection) -> WriterSession | None:
    """Return the last session, or `None` before the first."""
    row = connection.execute("SELECT * FROM sessions ORDER BY id DESC LIMIT 1").fetchone()
    return None if row is None else WriterSession(*row)


def end_session(connection: sqlite3.Connection, session: int) -> None:
    """End the session and refuse, in the same transaction, every unanswered command."""
    with writing(connection):
        refuse(connection, connection.execute(UNANSWERED, (0, 2**62)).fetchall(), "the run ended before it read this")
        now = time.time()
        connection.execute("UPDATE sessions SET ended = ?, heartbeat = ? WHERE id = ?", (now, now, session))


def refuse(connection: sqlite3.Connection, commands: Sequence[CommandRow], reason: str) -> None:
    """Refuse `commands` at the newest step of the newest branch; each sender's own reason comes before `reason`."""
    row = connection.execute("SELECT coalesce(json_extract(body, '$.step'), 0) FROM state").fetchone()
    step, branch, now = (row[0] if row else 0), newest_branch(connection), time.time()
    rows: list[tuple[object, ...]] = []
    for number, actor, body in commands:
        event = _refusal(body)
        said = "; ".join(part for part in (storable(wire.reason_from_text(body)), reason) if part)
        answer = (Status.REFUSED.value, said, wire.kind_of(event), wire.event_to_text(event))
        rows.append((now, branch, step, actor, number, *answer))
    insert_events(connection, rows)


def _refusal(body: str) -> CommandRefused:
    try:
        return wire.refusal_of(wire.command_from_text(body))
    except WireError:
        return CommandRefused(op="unreadable", args={"text": body})


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _has_run_since(pid: int, when: float) -> bool:
    """Return whether the process began before `when`, in seconds since 1970, and has not ended."""
    import psutil  # noqa: PLC0415 - few runs are silent, and a list of runs is read without it

    try:
        process = psutil.Process(pid)
        return process.create_time() <= when and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
