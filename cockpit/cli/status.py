"""`main.py status RUN`: what a run is doing, or how it ended."""

from __future__ import annotations

import argparse
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from cockpit.cli.output import print_json, print_lines
from cockpit.console.text import whole
from cockpit.session.incidents import num_incidents
from engine.journal.reader import JournalReader
from engine.journal.sessions import Session
from engine.protocol.codec import Json
from engine.protocol.events import Activity, RunFailed, RunFinished
from engine.protocol.state import RunState
from engine.protocol.wire import state_to_json
from engine.runs import find_run

_OVER: Final = (Activity.FINISHED, Activity.FAILED)


def run_status(arguments: argparse.Namespace) -> int:
    """Print the status of one run. Raises UserError."""
    status = read_status(find_run(arguments.runs_dir, arguments.run))
    if arguments.json:
        print_json(status)
    else:
        print_lines(_lines(status))
    return 0


def read_status(path: Path) -> dict[str, Json]:
    """The status of the run at `path` as a JSON object: the named fields first, then the whole state.

    A run whose process is gone without an end is 'failed', with the reason beside it; one that is merely silent
    keeps its state, with `alive` false. Raises UserError.
    """
    with closing(JournalReader(path)) as reader:
        state = reader.state() or RunState(run=path.name)
        session = reader.heartbeat()
        activity, reason = _activity(state, session)
        if activity in _OVER and not reason:
            reason = _ending(reader)
        alerts = num_incidents(reader.events())
    head: dict[str, Json] = {
        "run": path.name,
        "state": activity.value,
        "reason": reason,
        "alive": session is not None and session.is_alive(),
        "pid": None if session is None else session.pid,
        "heartbeat_age": None if session is None else round(session.age, 3),
        "started": None if session is None else session.started,
    }
    rest = state_to_json(state)
    del rest["activity"]
    rest["alerts"] = alerts  # the state counts what was raised, people and scripts are told of incidents
    return {**head, **{key: value for key, value in rest.items() if key not in head}}


def _activity(state: RunState, session: Session | None) -> tuple[Activity, str]:
    """What the run is doing, and why that is not what its journal says last ('' where it is)."""
    if state.activity in _OVER or session is None or session.is_alive():
        return state.activity, ""
    if session.ended is not None:
        return Activity.FAILED, f"process {session.pid} left without finishing the run"
    if not session.process_exists():
        return Activity.FAILED, f"process {session.pid} is gone without a word"
    return state.activity, f"process {session.pid} has been silent for {session.age:.0f} s"


def _ending(reader: JournalReader) -> str:
    entries = reader.events(kinds=("run_finished", "run_failed"))
    match entries[-1].event if entries else None:
        case RunFinished(reason=reason):
            return reason
        case RunFailed(error=error):
            return error
        case _:
            return ""


def _lines(status: dict[str, Json]) -> list[str]:
    """One `key: value` line per field."""
    width = max(map(len, status))
    return [f"{key:<{width}}  {_timed(value) if key == 'started' else _shown(value)}" for key, value in status.items()]


def _timed(value: Json) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(value)) if isinstance(value, float) else "-"


def _shown(value: Json) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(held)}" for key, held in value.items()) or "-"
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return whole(str(value)) or "-"
