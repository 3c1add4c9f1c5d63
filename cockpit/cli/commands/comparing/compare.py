"""`main.py compare A B ...` in a pipe: metrics, curves, configuration differences and interventions of several runs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, cast

import numpy as np

from cockpit.charts.annotations.marks import NO_MARKS
from cockpit.charts.draw.glyphs import ASCII, BRAILLE
from cockpit.charts.draw.plot import draw
from cockpit.charts.inputs import ChartInputs, Options
from cockpit.charts.view import View
from cockpit.cli.output import entry_to_json, float_values, print_json, print_lines, table
from cockpit.terminal.encoding import shows_unicode
from cockpit.text.format import escape_control, number
from cockpit.text.next_steps import end_of
from cockpit.ui.panels.comparing.overlay import OverlaidRuns, metrics_of_runs, spec_of_metric, usual_metrics
from cockpit.ui.panels.comparing.runs import ComparedRun, open_runs
from cockpit.ui.panels.comparing.tables import as_columns, config_differences, config_rows, fitted, intervention_rows
from engine.errors import UserError, did_you_mean
from engine.journal.disk.find_run import find_run
from engine.protocol.codec import Json, to_json

_HEIGHT: Final = 14
_PAUSE: Final = 0.01
"""Seconds between two looks at a journal that is read by a thread."""


def compared_directories(arguments: argparse.Namespace) -> list[Path]:
    """Return the directories of the runs that the arguments name. Raises UserError for an unknown one."""
    return [find_run(arguments.runs_dir, name) for name in arguments.runs]


def run_compare(arguments: argparse.Namespace) -> int:
    """Print the comparison of several runs as text or JSON. Raises UserError."""
    runs = open_runs(compared_directories(arguments))
    try:
        for run in runs:
            _load(run)
        keys = checked_keys(runs, arguments.keys)
        without = [run.name for run in runs if arguments.x != "step" and run.axis(arguments.x) is None]
        if without:
            raise UserError(f"the run {without[0]!r} has no {arguments.x} to draw over: leave out --x")
        if arguments.json:
            print_json(_as_json(runs, keys, arguments))
        else:
            print_lines(_text(runs, keys, arguments))
    finally:
        for run in runs:
            run.close()
    return 0


def checked_keys(runs: Sequence[ComparedRun], keys: Sequence[str] | None) -> tuple[str, ...]:
    """Return the metrics to compare: those named, or the usual ones. Raises UserError for one that no run has."""
    known = metrics_of_runs(runs)
    if keys is None:
        usual = dict.fromkeys(metric for run in runs for metric in usual_metrics(run))
        return tuple(metric for metric in usual if metric in known)
    if not keys:
        raise UserError(f"--keys names no metric: give some of {', '.join(known) or 'none yet'}")
    unknown = next((key for key in keys if key not in known), None)
    if unknown is not None:
        raise UserError(f"no run has a metric {unknown!r}: {did_you_mean(unknown, known)}")
    return tuple(keys)


def _load(run: ComparedRun) -> None:
    """Wait until the whole journal is read. Raises UserError if that is impossible."""
    while run.curves.is_loading():
        time.sleep(_PAUSE)
        run.poll()
    if run.curves.failure:
        raise UserError(run.curves.failure)


def _text(runs: Sequence[ComparedRun], keys: Sequence[str], arguments: argparse.Namespace) -> Iterator[str]:
    width = 80 if not sys.stdout.isatty() else 120
    for run in runs:
        parent = f", {escape_control(run.records.parent.said)}" if run.records.parent else ""
        yield f"{escape_control(run.name)}: {_activity(run)} at step {_step(run)}{parent}"
    for key in keys:
        yield ""
        yield from table([[escape_control(key), "last", "min", "max", "points"], *(_row(run, key) for run in runs)])
        yield from _chart(runs, key, arguments, width)
    yield from ("", "configuration differences:")
    yield from fitted(config_rows(runs), width) or ["none"]
    yield from ("", "interventions:")
    yield from fitted(intervention_rows(runs), width) or ["none"]


def _activity(run: ComparedRun) -> str:
    """Return what the run does, or how it ended: 'finished', 'stopped' or 'failed'."""
    state = run.records.state
    end = None if state is None else end_of(state, run.records.entries)
    return end.word if end is not None else run.records.activity.value


def _step(run: ComparedRun) -> int:
    return 0 if run.records.state is None else run.records.state.step


def _row(run: ComparedRun, key: str) -> list[str]:
    _, values = run.curves.history.rows(key, 0, 2**62)
    finite = values[np.isfinite(values)]
    ends = [float(finite.min()), float(finite.max())] if finite.size else [None, None]
    shown = [number(value) for value in (float(values[-1]) if values.size else None, *ends)]
    return [escape_control(run.name), *shown, str(values.size)]


def _chart(runs: Sequence[ComparedRun], key: str, arguments: argparse.Namespace, width: int) -> Iterator[str]:
    """Yield the curves of all runs in one chart, without colours."""
    source = OverlaidRuns(runs, arguments.x)
    spec = spec_of_metric(key, runs)
    glyphs = BRAILLE if shows_unicode() else ASCII
    inputs = ChartInputs(source, View(), NO_MARKS, {}, axis=source.axis)
    picture = draw(spec, Options.of(spec), inputs, (width, _HEIGHT), glyphs)
    yield from (line.rstrip() for line in picture.canvas.lines())


def _as_json(runs: Sequence[ComparedRun], keys: Sequence[str], arguments: argparse.Namespace) -> Json:
    config = {key: as_columns(values, runs) for key, values in config_differences(runs).items()}
    result: dict[str, object] = {
        "x": arguments.x,
        "runs": [_run_json(run) for run in runs],
        "metrics": {key: {run.name: _series(run, key, arguments) for run in runs} for key in keys},
        "config": config,
        "interventions": {run.name: [entry_to_json(entry) for entry in run.records.interventions] for run in runs},
    }
    return cast(Json, result)


def _run_json(run: ComparedRun) -> dict[str, Json]:
    records = run.records
    return {
        "run": run.name,
        "directory": str(run.curves.run_dir),
        "state": _activity(run),
        "step": _step(run),
        "parent": None if records.parent is None else to_json(records.parent),
    }


def _series(run: ComparedRun, key: str, arguments: argparse.Namespace) -> dict[str, Json]:
    """Return a metric's steps, their places on the axis, and the values."""
    steps, values = run.curves.history.rows(key, 0, 2**62)
    axis = run.axis(arguments.x)
    numbers = float_values(values, np.ones(values.size, np.bool_))
    places = steps if axis is None else axis.places(steps.astype(np.float64)).round(6)
    return {"step": cast(Json, steps.tolist()), "x": cast(Json, places.tolist()), "values": numbers}
