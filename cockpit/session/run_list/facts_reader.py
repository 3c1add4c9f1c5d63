"""Read the facts of a run from its journal, in about a millisecond and without numpy."""

from __future__ import annotations

import json
import math
import sqlite3
import struct
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, cast

from cockpit.session.run_list.facts import STOPPED, RunFacts, points_of
from engine.errors import UserError
from engine.journal.sessions import WriterSession, newest_session
from engine.journal.store import journal_file, open_at_rest, open_readable
from engine.journal.task_meta import ATTACHED, PARENT, TASK
from engine.protocol.events import Activity

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


def read_facts(path: Path) -> RunFacts:
    """Return the facts of the run at `path`. Raises UserError for a journal that cannot be read.

    A journal without content in its log is read without a lock, which leaves no trace. If a process wrote it meanwhile,
    it is read again with one.
    """
    if (found := _read_at_rest(path)) is not None:
        return found
    try:
        return _read(path, open_readable)
    except UserError:
        raise
    except (sqlite3.Error, ValueError, struct.error) as error:
        raise UserError(f"cannot read {journal_file(path)}: {error}") from error


def _read_at_rest(path: Path) -> RunFacts | None:
    """Return the facts from a journal that no process writes; `None` if one does, or may do so."""
    file = journal_file(path)
    if any(_holds(file.with_name(file.name + suffix)) for suffix in ("-wal", "-journal")):
        return None
    try:
        before = file.stat().st_mtime_ns
        found = _read(path, open_at_rest)
        return found if file.stat().st_mtime_ns == before else None
    except (OSError, ValueError, sqlite3.Error, struct.error):
        return None  # a writer may be at work by now: the second reading tells


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
            is_stopped=state.get("activity") == Activity.FINISHED.value and _is_stopped(connection),
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


def _is_stopped(connection: sqlite3.Connection) -> bool:
    """Return whether a command ended the run, which finished: the state does not say so, its last event does."""
    query = "SELECT body FROM events WHERE kind = 'run_finished' ORDER BY id DESC LIMIT 1"
    row = connection.execute(query).fetchone()
    return row is not None and _object(row[0]).get("reason") == STOPPED


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
