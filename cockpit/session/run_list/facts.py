"""What a list of runs shows of one run, read from its journal in about a millisecond and without numpy."""

from __future__ import annotations

import json
import math
import sqlite3
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final, cast

from cockpit.session.activity_text import OVER
from engine.errors import UserError
from engine.journal.sessions import WriterSession, newest_session
from engine.journal.store import journal_file, open_at_rest, open_readable
from engine.journal.task_meta import ATTACHED, PARENT, TASK
from engine.protocol.events import Activity
from engine.protocol.record import record

_LOSS: Final = "loss/total"
_CURVE_ROWS: Final = 160
"""Newest steps in the curve of a row."""
_CURVE_POINTS: Final = 40
ALERTS: Final = (
    *("alert_raised", "checkpoint_damaged", "checkpoint_failed", "fault_named", "rolled_back", "run_failed"),
    *("spike_detected", "step_skipped"),
)
"""Kinds of events that may be a part of an incident: without one, a run has no alerts."""
NO_CAUSES: Final = (
    *("activity_changed", "checkpoint_saved", "command_refused", "epoch_completed", "note_added", "run_finished"),
    "validation_completed",
)
"""Frequent kinds of events that are neither a part nor a cause of an incident, and need not be decoded."""


@record
class RunFacts:
    """The facts of one run: its state, its newest session, its origin, and the curve of its newest losses.

    Times are in seconds since 1970, 0 if unknown. `curve` has `None` where a step was not finite. `program` is that of
    an attached run, otherwise an empty string. `parent` is the run and the step that it continues.
    """

    activity: str = Activity.STARTING.value
    step: int = 0
    total_steps: int = 0
    epoch: int = 0
    phase: int = 0
    loss: float | None = None
    grad_norm: float | None = None
    lr: float = 0.0
    score: float | None = None
    best: float | None = None
    lower_is_better: bool = False
    skipped: int = 0
    spikes: int = 0
    alerts: int = 0
    task: str = ""
    program: str = ""
    parent: tuple[str, int] | None = None
    began: float = 0.0
    session: tuple[int, float, float | None, float, int, str, int] | None = None
    curve: tuple[float | None, ...] = ()

    @property
    def writer(self) -> WriterSession | None:
        """The newest session; `None` if no process ever wrote the run."""
        return None if self.session is None else WriterSession(*self.session)

    @property
    def ended(self) -> float:
        """The end of the newest session; 0 while it lasts, its last heartbeat if it was killed."""
        writer = self.writer
        if writer is None:
            return 0.0
        if writer.ended is not None:
            return writer.ended
        return 0.0 if writer.is_alive() else writer.heartbeat


def present_activity(recorded: Activity, session: WriterSession | None) -> tuple[Activity, str]:
    """Return what a run does now, and the reason if that differs from what it recorded, else an empty string.

    A run whose process has disappeared has failed. A silent one keeps its activity.
    """
    if recorded in OVER or session is None or session.is_alive():
        return recorded, ""
    if session.ended is not None:
        return Activity.FAILED, f"process {session.pid} left without finishing the run"
    if not session.process_exists():
        return Activity.FAILED, f"process {session.pid} is gone without a word"
    return recorded, f"process {session.pid} has been silent for {session.age:.0f} s"


def read_facts(path: Path) -> RunFacts:
    """Return the facts of the run at `path`. Raises UserError for a journal that cannot be read.

    A journal without content in its log is read without a lock, which leaves no trace. If a process wrote it meanwhile,
    it is read again with one.
    """
    file = journal_file(path)
    if not any(_holds(file.with_name(file.name + suffix)) for suffix in ("-wal", "-journal")):
        try:
            before = file.stat().st_mtime_ns
            found = _read(path, open_at_rest)
            if file.stat().st_mtime_ns == before:
                return found
        except (OSError, ValueError, sqlite3.Error, struct.error):
            pass  # a writer may be at work by now: the second reading tells
    try:
        return _read(path, open_readable)
    except (sqlite3.Error, ValueError, struct.error) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"cannot read {file}: {error}") from error


def _read(path: Path, open_journal: Callable[[Path], sqlite3.Connection]) -> RunFacts:
    with closing(open_journal(path)) as connection:
        row = connection.execute("SELECT body FROM state").fetchone()
        state = _object(row[0]) if row else {}
        meta = dict(connection.execute("SELECT key, value FROM meta WHERE key IN (?, ?, ?)", (TASK, ATTACHED, PARENT)))
        spec, attached = _object(meta.get(TASK, "null")), _object(meta.get(ATTACHED, "null"))
        session = newest_session(connection)
        began = connection.execute("SELECT min(started) FROM sessions").fetchone()[0]
        return RunFacts(
            activity=_word(state.get("activity"), Activity.STARTING.value),
            step=_count(state, "step"),
            total_steps=_count(state, "total_steps"),
            epoch=_count(state, "epoch"),
            phase=_count(state, "phase"),
            loss=_real(state.get("loss")),
            grad_norm=_real(state.get("grad_norm")),
            lr=_real(state.get("lr")) or 0.0,
            score=_real(state.get("score", state.get("val_miou"))),
            best=_real(state.get("best_score", state.get("best_miou"))),
            lower_is_better=spec.get("lower_is_better") is True,
            skipped=_count(state, "skipped_steps"),
            spikes=_count(state, "spikes"),
            alerts=_alerts(connection),
            task=_word(spec.get("name"), ""),
            program=_word(attached.get("program"), ""),
            parent=_parent(_object(meta.get(PARENT, "null"))),
            began=began or 0.0,
            session=None if session is None else _fields(session),
            curve=_curve(connection),
        )


def _holds(file: Path) -> bool:
    """Return whether the file exists and is not empty."""
    try:
        return file.stat().st_size > 0
    except OSError:
        return False


def _fields(session: WriterSession) -> tuple[int, float, float | None, float, int, str, int]:
    times = session.started, session.ended, session.heartbeat
    return session.id, *times, session.pid, session.host, session.commands_before


def _alerts(connection: sqlite3.Connection) -> int:
    """Return the number of incidents, as `status` counts them."""
    marks = ",".join("?" * len(ALERTS))
    if connection.execute(f"SELECT 1 FROM events WHERE kind IN ({marks}) LIMIT 1", ALERTS).fetchone() is None:
        return 0
    # Only a run with alerts needs the decoder of events, which imports numpy.
    from cockpit.session.incidents.incidents import num_incidents  # noqa: PLC0415
    from engine.journal.reader import entry_of  # noqa: PLC0415

    marks = ",".join("?" * len(NO_CAUSES))
    rows = connection.execute(f"SELECT * FROM events WHERE kind NOT IN ({marks}) ORDER BY id", NO_CAUSES)
    return num_incidents(map(entry_of, rows))


def _curve(connection: sqlite3.Connection) -> tuple[float | None, ...]:
    """Return the losses of the newest steps, oldest first, in few points: the median of each group of steps."""
    layouts = {number: _names(text) for number, text in connection.execute("SELECT id, names FROM layouts")}
    places = {number: names.index(_LOSS) for number, names in layouts.items() if _LOSS in names}
    query = "SELECT step, layout, vals FROM steps ORDER BY branch DESC, step DESC LIMIT ?"
    losses: list[float] = []
    oldest = math.inf
    for step, layout, packed in connection.execute(query, (_CURVE_ROWS,)):
        if step < oldest and layout in places:  # otherwise the step was taken again on a newer branch
            oldest = step
            losses.append(struct.unpack_from("=f", packed, 4 * places[layout])[0])
    return tuple(points_of(losses[::-1], _CURVE_POINTS))


def points_of(values: Sequence[float], count: int) -> Iterable[float | None]:
    """Yield at most `count` points for `values`, in four digits: the (upper) median of each of equal groups.

    A group with a non-finite value gives `None`.
    """
    size = max(math.ceil(len(values) / count), 1)
    for start in range(0, len(values), size):
        group = values[start : start + size]
        yield float(f"{sorted(group)[len(group) // 2]:.4g}") if all(map(math.isfinite, group)) else None


def _names(text: str) -> list[str]:
    found: object = json.loads(text)
    return [str(name) for name in cast(list[object], found)] if isinstance(found, list) else []


def _object(text: str) -> Mapping[str, Any]:
    found: object = json.loads(text)
    return cast(Mapping[str, Any], found) if isinstance(found, dict) else {}


def _parent(held: Mapping[str, Any]) -> tuple[str, int] | None:
    run, step = held.get("run"), held.get("step")
    return (run, step) if isinstance(run, str) and isinstance(step, int) else None


def _count(state: Mapping[str, Any], name: str) -> int:
    value = state.get(name)
    return value if isinstance(value, int) else 0


def _word(value: object, default: str) -> str:
    return value if isinstance(value, str) else default


def _real(value: object) -> float | None:
    """Return a number of the journal's JSON, in which NaN and the infinities are words; `None` for none."""
    if isinstance(value, bool) or value is None:
        return None
    return float(value) if isinstance(value, int | float) else float(value if isinstance(value, str) else math.nan)
