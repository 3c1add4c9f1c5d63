"""`main.py runs`: list every run, the latest first, as lines or as JSON."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cockpit.cli.commands.reading.status import read_status
from cockpit.cli.output import print_json, print_lines, table
from cockpit.session.run_list.facts import STOPPED
from cockpit.text.format import escape_control, number, rate
from cockpit.text.next_steps import command_for
from engine.errors import UserError
from engine.journal.disk.find_run import list_runs, private_runs, started_at
from engine.journal.disk.labels import read_labels
from engine.journal.disk.run_dir import has_journal
from engine.protocol.codec import Json
from engine.protocol.events import Activity

_LOST: Final = "no journal"
_EXPLAINED: Final = ("unreadable", _LOST)
"""States that a sentence below the table explains."""


def run_runs(arguments: argparse.Namespace) -> int:
    """Print one line per run, and the reason for each that cannot be read; or change one run. Raises UserError."""
    if arguments.action and (arguments.json or arguments.plain):
        raise UserError(f"--json and --plain belong to the list of runs: leave them out with {arguments.action}")
    if arguments.action:
        from cockpit.cli.commands.run_changes.change_run import run_change  # noqa: PLC0415 - few need it

        return run_change(arguments)
    private = private_runs(arguments.runs_dir)
    statuses = [_status(path) for path in list_runs(arguments.runs_dir) if path.name not in private]
    statuses += [_unreadable(name, reason) for name, reason in private.items()]
    if arguments.json:
        print_json([*statuses])
    elif not statuses:
        print_lines([f"no runs in {escape_control(str(arguments.runs_dir))} yet"])
    else:
        head = [
            "run",
            "state",
            "step",
            "of",
            "phase",
            "best score",
            "started",
            "alerts",
            "lr",
            "tags",
            "parent",
            "note",
        ]
        rows = table([head, *(_row(arguments.runs_dir / str(status["run"]), status) for status in statuses)])
        explained = [escape_control(str(status["reason"])) for status in statuses if status["state"] in _EXPLAINED]
        print_lines([*rows, *explained, *_screens(arguments.runs_dir, statuses)])
    return 0


def _screens(runs_dir: Path, statuses: Sequence[dict[str, Json]]) -> list[str]:
    """Return a line with the command that opens the screen of the newest run that is alive; none if none is."""
    alive = [runs_dir / str(status["run"]) for status in statuses if status.get("alive")]
    return [f"open the screen of a running one: {escape_control(command_for(alive[0], 'attach'))}"] if alive else []


def _status(path: Path) -> dict[str, Json]:
    if not has_journal(path):
        reason = f"the journal of {path.name} is gone: --resume {path.name} goes on from its checkpoints"
        return {"run": path.name, "state": _LOST, "reason": reason} | _labelled(path)
    try:
        return read_status(path) | _labelled(path)
    except UserError as error:
        return _unreadable(path.name, str(error)) | _labelled(path)


def _unreadable(name: str, reason: str) -> dict[str, Json]:
    return {"run": name, "state": "unreadable", "reason": reason}


def _labelled(path: Path) -> dict[str, Json]:
    labels = read_labels(path)
    return {"tags": [*labels.tags], "note": labels.note}


def _state(status: dict[str, Json]) -> str:
    """Return the state of a run; that of one that a command ended is 'stopped' as in its screen."""
    is_stopped = (status["state"], status.get("reason")) == (Activity.FINISHED.value, STOPPED)
    return STOPPED if is_stopped else str(status["state"])


def _row(path: Path, status: dict[str, Json]) -> list[str]:
    best, lr, parent, labels = status.get("best_score"), status.get("lr"), status.get("parent"), read_labels(path)
    return [
        escape_control(path.name),
        _state(status),
        str(status.get("step", "-")),
        str(status.get("total_steps") or "-"),
        "-" if status.get("attached") else str(status.get("phase", "-")),
        number(best) if isinstance(best, float) else "-",
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(started)) if (started := started_at(path)) else "-",
        str(status.get("alerts", "-")),
        rate(lr) if isinstance(lr, float) else "-",
        escape_control(",".join(labels.tags)) or "-",
        escape_control(f"{parent.get('run')}@{parent.get('step')}") if isinstance(parent, dict) else "-",
        escape_control(labels.note) or "-",
    ]
