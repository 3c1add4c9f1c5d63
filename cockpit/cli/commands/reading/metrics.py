"""`main.py metrics RUN`: print a run's metrics as an overview, a table, CSV or JSON."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from cockpit.cli.metric_names import known_keys
from cockpit.cli.output import float_texts, float_values, print_json, print_lines, table
from cockpit.cli.parser import check_needed
from cockpit.text.format import escape_control, number
from engine.errors import UserError
from engine.journal.disk.find_run import find_run
from engine.journal.reader import JournalReader
from engine.journal.series import Series
from engine.journal.task_meta import LAYER_PREFIX
from engine.protocol.codec import Json
from engine.protocol.conditions.syntax import metrics_of

if TYPE_CHECKING:
    from cockpit.session.history.row_feed import MetricRow

_WINDOW: Final = 10
"""Steps on each side of --around."""

_KINDS: Final = {"steps": "step", "validations": "validation", "layers": "layers"}


def run_metrics(arguments: argparse.Namespace) -> int:
    """Print metrics of one run, with --follow those of each new step. Raises UserError.

    The exit code is 3 if --idle-timeout ended it.
    """
    check_needed(arguments, "--window", "--around")
    check_needed(arguments, "--idle-timeout", "--follow")
    path = find_run(arguments.runs_dir, arguments.run)
    if arguments.follow:
        return _follow(path, arguments)
    _print_series(_read(path, arguments), arguments)
    return 0


def _print_series(series: Series, arguments: argparse.Namespace) -> None:
    if arguments.json:
        columns: dict[str, Json] = {key: float_values(series.values[key], series.present[key]) for key in series.values}
        print_json({"step": series.steps.tolist(), **columns})
    elif arguments.csv:
        print_lines(_csv_lines(series))
    elif arguments.around is not None or arguments.tail is not None:
        print_lines(_rows(series))
    else:
        print_lines(_overview(series))


def _follow(path: Path, arguments: argparse.Namespace) -> int:
    """Print one line per row of metrics, recorded ones first, until the writer's process has ended."""
    # Only --follow needs the session.
    from cockpit.cli.followed_run import TIMED_OUT, FollowedRun, FollowTimeout, follow  # noqa: PLC0415

    keys = _followed_keys(path, arguments)
    has_layers = any(key.startswith(LAYER_PREFIX) for key in keys or ())
    with closing(FollowedRun(path, newest=arguments.tail, has_layers=has_layers)) as session:
        try:
            for rows in follow(session, session.take_rows, arguments.idle_timeout):
                _print_rows(rows, keys, as_json=arguments.json)
        except FollowTimeout:
            return TIMED_OUT
    return 0


def _followed_keys(path: Path, arguments: argparse.Namespace) -> frozenset[str] | None:
    """Return the requested metrics, `None` for all. Raises UserError for one that the run will not record.

    Before the first step any name may be one.
    """
    if arguments.csv or arguments.around is not None:
        raise UserError("--follow prints lines as they come: leave out --csv and --around")
    if arguments.keys is None:
        return None
    with closing(JournalReader(path)) as reader:
        known = reader.metric_names(of_layers=True)
        to_come = metrics_of(reader.spec())
    return frozenset(known_keys(arguments.keys, (*known, *to_come) if known else arguments.keys, path.name))


def _print_rows(rows: Iterable[MetricRow], keys: frozenset[str] | None, *, as_json: bool) -> None:
    for row in rows:
        _print_row(row, keys, as_json=as_json)
    sys.stdout.flush()


def _print_row(row: MetricRow, keys: frozenset[str] | None, *, as_json: bool) -> None:
    """Print the metrics `keys` of one row; nothing if it has none of them."""
    at = _places(row, keys)
    names, values = [row.names[place] for place in at], row.values_K[at]
    if keys is not None and not at:
        return
    kind = _KINDS[row.kind]
    if as_json:
        numbers = float_values(values, np.ones(values.size, np.bool_))
        print_json({"kind": kind, "step": row.step, **dict(zip(names, numbers, strict=True))})
    else:
        pairs = (f"{escape_control(name)} {text}" for name, text in zip(names, float_texts(values), strict=True))
        print_lines([f"{kind} {row.step}  {'  '.join(pairs)}"])


def _places(row: MetricRow, keys: frozenset[str] | None) -> list[int]:
    """Return the places in `row` of the metrics `keys`, `None` for all; of layers only those that were measured."""
    at = [place for place, name in enumerate(row.names) if keys is None or name in keys]
    if row.kind == "layers":  # what was not measured is NaN there
        return [place for place in at if not np.isnan(row.values_K[place])]
    return at


def _read(path: Path, arguments: argparse.Namespace) -> Series:
    """Read all rows, the newest `tail`, or those at most `window` steps from `around`. Raises UserError."""
    if arguments.around is not None and arguments.tail is not None:
        raise UserError("--around and --tail name different steps: leave one of them out")
    with closing(JournalReader(path)) as reader:
        known = reader.metric_names(of_layers=arguments.keys is not None)
        keys: Sequence[str] = known if arguments.keys is None else known_keys(arguments.keys, known, path.name)
        around, window = arguments.around, _WINDOW if arguments.window is None else arguments.window
        if around is None:
            series = reader.series(keys)
            return series if arguments.tail is None else _newest(series, arguments.tail)
        return reader.series(keys, first=around - window, last=around + window)


def _newest(series: Series, count: int) -> Series:
    """Return the newest `count` rows."""
    first = max(series.steps.size - count, 0)
    return Series(
        series.steps[first:],
        series.epochs[first:],
        {key: values[first:] for key, values in series.values.items()},
        {key: present[first:] for key, present in series.present.items()},
    )


def _cells(series: Series, absent: str) -> Iterator[list[str]]:
    """Yield one list of texts per step: the step, then each metric, or `absent` if it was not recorded."""
    columns = [
        [text if there else absent for text, there in zip(float_texts(values), series.present[key], strict=True)]
        for key, values in series.values.items()
    ]
    for step, *cells in zip(series.steps.tolist(), *columns, strict=True):
        yield [str(step), *cells]


def _csv_lines(series: Series) -> Iterator[str]:
    for cells in chain([["step", *series.values]], _cells(series, "")):
        buffer = io.StringIO()
        csv.writer(buffer, lineterminator="").writerow(cells)
        yield buffer.getvalue()


def _rows(series: Series) -> list[str]:
    """Return a table with one row per step."""
    return table([["step", *map(escape_control, series.values)], *_cells(series, "-")])


def _overview(series: Series) -> list[str]:
    """Return one line per metric: last, least and greatest value, the count, and the count of non-finite values."""
    head = ["metric", "last", "min", "max", "points", "not finite"]
    body = [_summary(key, series.values[key][series.present[key]]) for key in series.values]
    return table([head, *body]) if body else ["no metrics yet"]


def _summary(key: str, values: NDArray[np.float32]) -> list[str]:
    finite = values[np.isfinite(values)]
    ends = [float(end) for end in (finite.min(), finite.max())] if finite.size else [None, None]
    shown = [number(value, 6) for value in (float(values[-1]) if values.size else None, *ends)]
    return [escape_control(key), *shown, str(values.size), str(values.size - finite.size)]
