"""`main.py status RUN`: print what a run does, or how it ended."""

from __future__ import annotations

import argparse
import textwrap
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from cockpit.cli.output import print_json, print_lines
from cockpit.console.step_time_text import step_time_of
from cockpit.console.summary import RunSummary, ending, fact_lines, read_outcome, way_on
from cockpit.session.activity.activity_text import OVER
from cockpit.session.incidents.incidents import num_incidents
from cockpit.session.run_list.facts import present_activity
from cockpit.text.format import duration, escape_control
from cockpit.text.next_steps import command_for
from engine.journal.disk.find_run import find_run
from engine.journal.reader import JournalReader
from engine.journal.task_meta import ATTACHED, PARENT, attached_of, parent_of
from engine.outputs.fault_report import REPORT_TEXT, folders_of
from engine.protocol.codec import Json, to_json
from engine.protocol.events import RunFailed, RunFinished
from engine.protocol.state import RunState
from engine.protocol.wire import state_to_json

_WIDTH: Final = 80


def run_status(arguments: argparse.Namespace) -> int:
    """Print the status of one run. Raises UserError."""
    path = find_run(arguments.runs_dir, arguments.run)
    if arguments.json:
        print_json(read_status(path))
    else:
        _print_status(path)
    return 0


def read_status(path: Path) -> dict[str, Json]:
    """Return the status of the run at `path` as a JSON object: the named fields first, then the whole state.

    A run whose process has disappeared is 'failed', with the reason. A silent run keeps its state, with `alive`
    false. Raises UserError.
    """
    with closing(JournalReader(path)) as reader:
        state = reader.state() or RunState(run=path.name)
        session = reader.heartbeat()
        activity, reason = present_activity(state.activity, session)
        if activity in OVER and not reason:
            reason = _ending(reader)
        alerts = num_incidents(reader.events())
        attached, parent = attached_of(reader.meta(ATTACHED)), parent_of(reader.meta(PARENT), path)
        time_of_steps = step_time_of(reader, state.step)
    head: dict[str, Json] = {
        "run": path.name,
        "state": activity.value,
        "reason": reason,
        "alive": session is not None and session.is_alive(),
        "pid": None if session is None else session.pid,
        "heartbeat_age": None if session is None else round(session.age, 3),
        "started": None if session is None else session.started,
        "attached": None if attached is None else to_json(attached),
        "parent": None if parent is None else to_json(parent),
    }
    rest = state_to_json(state)
    del rest["activity"]
    if time_of_steps is not None:
        rest["step_time"] = {part: round(seconds, 6) for part, seconds in time_of_steps[0].seconds.items()}
        rest["step_time_verdict"] = time_of_steps[1]
    rest["alerts"] = alerts  # the state counts raised alerts, the output counts incidents
    return {**head, **{key: value for key, value in rest.items() if key not in head}}


def _ending(reader: JournalReader) -> str:
    entries = reader.events(kinds=("run_finished", "run_failed"))
    match entries[-1].event if entries else None:
        case RunFinished(reason=reason):
            return reason
        case RunFailed(error=error):
            return error
        case _:
            return ""


def _print_status(path: Path) -> None:
    """Print the summary that is printed at a run's end, and the next commands, within 80 columns."""
    status = read_status(path)
    with closing(JournalReader(path)) as reader:
        outcome, parent = read_outcome(reader, path), parent_of(reader.meta(PARENT), path)
    lines = [_head(status, outcome)]
    if parent is not None:
        lines.append(f"  {escape_control(parent.said)}")
    if outcome is not None:
        lines += [line.plain for line in fact_lines(outcome)]
    wrapped = [piece for line in lines for piece in _wrapped(line)]
    # A path or a command that is broken over two lines cannot be copied.
    print_lines([*wrapped, *(f"  {escape_control(line)}" for line in _next(path, status, outcome))])


def _head(status: dict[str, Json], outcome: RunSummary | None) -> str:
    """Return the run's name with its activity or end, and the age of its last heartbeat."""
    said, reason = str(status["state"]), str(status["reason"])
    if status["alive"]:
        doing = f" ({status['doing']})" if status.get("doing") else ""
        said += f"{doing}, process {status['pid']}, heard from {duration(_number(status['heartbeat_age']))} ago"
    elif outcome is not None and outcome.state.activity in OVER:
        said = ending(outcome)
    elif reason:
        said += f": {reason}"
    started = _number(status["started"])
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(started)) if started else ""
    return escape_control(f"{status['run']}: {said}" + (f"; started {when}" if when else ""))


def _number(value: Json) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _next(path: Path, status: dict[str, Json], outcome: RunSummary | None) -> Iterator[str]:
    """Yield the commands that make sense next."""
    if status["alive"]:
        yield f"open its screen: {command_for(path, 'attach')}"
        yield f"steer it: {command_for(path, 'send', 'resume' if status['state'] == 'paused' else 'pause')}"
        yield f"watch it: {command_for(path, 'events', '--follow')}"
    else:
        yield from way_on(outcome) if outcome is not None else ()
        yield f"what happened: {command_for(path, 'events', '--tail', '20')}"
    if folders := folders_of(path):
        is_attached = outcome is not None and outcome.attached is not None
        yield f"what broke: {folders[-1] / REPORT_TEXT if is_attached else command_for(path, 'diagnose')}"


def _wrapped(line: str) -> list[str]:
    """Return `line` broken between words at 80 columns, with the rest indented."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, _WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]
