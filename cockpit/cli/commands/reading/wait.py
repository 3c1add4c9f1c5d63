"""`main.py wait RUN --until CONDITION`: wait until a condition on the run holds, and say which part of it does."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from cockpit.cli.followed_run import TIMED_OUT, FollowedRun, follow
from cockpit.cli.output import print_json, print_lines
from cockpit.session.history.row_feed import MetricRow
from cockpit.text.format import escape_control
from engine.journal.disk.find_run import find_run
from engine.journal.reader import JournalReader
from engine.protocol.codec import Json, to_json
from engine.protocol.conditions.condition import Condition, Held
from engine.protocol.conditions.moment import RunMoment, Value, value_text
from engine.protocol.conditions.syntax import ROW_NAMES, metrics_of, parse_condition
from engine.protocol.record import record

HOLDS, ENDED = 0, 1
"""Exit codes in addition to 3; wrong words raise UserError, which is 2."""

_NEWEST_STEPS: Final = 200
"""Steps that are read first, for the newest value of metrics that not every step has."""


@record
class Found:
    """The outcome: its word in JSON, the exit code, the step, and the part that holds, `None` if none does."""

    outcome: str
    code: int
    step: int
    part: str | None
    values: Mapping[str, Value]

    def to_json(self) -> dict[str, Json]:
        """Return the outcome as an object: its word, the step, the part that holds, and the values."""
        values: dict[str, Json] = {name: to_json(value) for name, value in self.values.items()}
        return {"outcome": self.outcome, "step": self.step, "part": self.part, "values": values}


def run_wait(arguments: argparse.Namespace) -> int:
    """Wait until the condition holds, the run ends or time is up. Raises UserError."""
    found, condition = wait_until(find_run(arguments.runs_dir, arguments.run), arguments.until, arguments.timeout)
    _say(found, condition, arguments)
    return found.code


def wait_until(
    path: Path, text: str, timeout: float | None, is_cancelled: Callable[[], bool] = lambda: False
) -> tuple[Found, Condition]:
    """Wait until the condition `text` holds, the run ends, `timeout` seconds are over, or the caller cancels.

    Raises UserError for a condition that cannot be read.
    """
    condition, metrics = _condition(path, text)
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    with closing(FollowedRun(path, newest=_NEWEST_STEPS)) as session:
        return _wait(session, condition, metrics, lambda: is_cancelled() or time.monotonic() >= deadline), condition


def _condition(path: Path, text: str) -> tuple[Condition, dict[str, float]]:
    """Return the condition, and the newest values of its validation metrics.

    Its metrics are checked against those of the run if there are some. Raises UserError.
    """
    parse_condition(text)
    with closing(JournalReader(path)) as reader:
        known = reader.metric_names()
        to_come = metrics_of(reader.spec())
        condition = parse_condition(text, (*known, *to_come, *ROW_NAMES) if known else None)
        series = reader.series([name for name in condition.metrics() if name.startswith("val/")])
    values = {name: series.values[name][series.present[name]] for name in series.values}
    return condition, {name: float(found[-1]) for name, found in values.items() if found.size}


def _wait(
    session: FollowedRun, condition: Condition, metrics: dict[str, float], is_time_up: Callable[[], bool]
) -> Found:
    """Check the run as it is, then every new step, so that a short-lived value is not missed."""
    is_first = True
    for rows in follow(session, session.take_rows):
        for moment in _moments(session, rows, metrics, is_first=is_first):
            if condition.holds(moment):
                return _held(condition.held(moment), moment)
        is_first = False
        if is_time_up() and not session.writer_has_left:
            return _missed(session, condition, metrics, "timed out", TIMED_OUT)
    return _missed(session, condition, metrics, "ended", ENDED)


def _moments(
    session: FollowedRun, rows: Iterable[MetricRow], metrics: dict[str, float], *, is_first: bool
) -> Iterable[RunMoment]:
    """Yield the run at each of the new `rows` and as it is now; `metrics` receives their values."""
    for row in rows:
        metrics.update(zip(row.names, map(float, row.values_K), strict=True))
        if session.state is not None and row.kind == "steps" and not is_first:
            yield RunMoment(session.state, metrics, row.step)
    if session.state is not None:
        yield RunMoment(session.state, metrics)


def _held(held: Held, moment: RunMoment) -> Found:
    step = moment.state.step if moment.step is None else moment.step
    return Found("holds", HOLDS, step, held.part, held.values)


def _missed(session: FollowedRun, condition: Condition, metrics: Mapping[str, float], word: str, code: int) -> Found:
    state = session.state
    values = {} if state is None else condition.values(RunMoment(state, metrics))
    return Found(word, code, 0 if state is None else state.step, None, values)


def _say(found: Found, condition: Condition, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print_json(found.to_json())
        return
    said = f" ({', '.join(f'{name} {value_text(value)}' for name, value in found.values.items())})"
    if found.part is not None:
        line = f"step {found.step}: {found.part} holds{said}"
    elif found.code == TIMED_OUT:
        line = f"step {found.step}: {condition.text} did not hold within {arguments.timeout:g} s{said}"
    else:
        line = f"step {found.step}: the run ended without {condition.text}{said}"
    print_lines([escape_control(line)])
