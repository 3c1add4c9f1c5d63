"""`main.py runs`: every run, the one started last first."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from cockpit.cli.output import print_json, print_lines, table
from cockpit.cli.status import read_status
from cockpit.console.text import number, whole
from engine.errors import UserError
from engine.protocol.codec import Json
from engine.runs import list_runs, started_at


def run_runs(arguments: argparse.Namespace) -> int:
    """Print one line per run; one whose journal cannot be read is listed with the reason."""
    paths = list_runs(arguments.runs_dir)
    statuses = [_status(path) for path in paths]
    if arguments.json:
        print_json([*statuses])
    elif not paths:
        print_lines([f"no runs in {whole(str(arguments.runs_dir))} yet"])
    else:
        head = ["run", "state", "step", "of", "phase", "best mIoU", "started"]
        print_lines(table([head, *(_row(path, status) for path, status in zip(paths, statuses, strict=True))]))
    return 0


def _status(path: Path) -> dict[str, Json]:
    try:
        return read_status(path)
    except UserError as error:
        return {"run": path.name, "state": "unreadable", "reason": str(error)}


def _row(path: Path, status: dict[str, Json]) -> list[str]:
    best = status.get("best_miou")
    return [
        whole(path.name),
        str(status["state"]),
        *(str(status.get(key, "-")) for key in ("step", "total_steps", "phase")),
        number(best) if isinstance(best, float) else "-",
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(started_at(path))),
    ]
