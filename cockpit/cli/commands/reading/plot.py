"""`main.py plot RUN`: draw the metrics of a live or finished run in the terminal."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from cockpit.charts.columns.window import AxisKind, StepAxis
from cockpit.cli.metric_names import known_keys
from cockpit.cli.output import print_lines
from cockpit.console.charts import PrintedCurves, chart_lines, read_printed
from cockpit.console.curves import MetricCurve, read_curves, summary_metrics
from cockpit.session.history.progress import StepProgress
from cockpit.terminal.safe_stream import SafeStream, open_console
from cockpit.text.format import escape_control
from cockpit.ui.panels.charts.x_axis import axis_of
from engine.errors import UserError
from engine.journal.disk.find_run import find_run
from engine.journal.reader import Entry, JournalReader
from engine.journal.store import BUSY_SECONDS
from engine.journal.tail import JournalTail
from engine.protocol.words.command_syntax import program_name

_MIN_WIDTH, _MAX_WIDTH = 40, 240


def run_plot(arguments: argparse.Namespace) -> int:
    """Draw the requested metrics. Raises UserError for an unknown run or metric."""
    path = find_run(arguments.runs_dir, arguments.run)
    with closing(JournalReader(path)) as reader:
        usual = (*summary_metrics(reader.spec()), "lr")
        known = reader.metric_names(of_layers=True)
        keys = usual if arguments.keys is None else known_keys(arguments.keys, known, path.name)
        entries = reader.events()
        if arguments.plotext and arguments.x != "step":
            raise UserError("--plotext draws over the step only: leave out --x")
        if arguments.plotext:
            _print_plotext(read_curves(reader, keys), entries, path.name)
        else:
            _print_charts(replace(read_printed(reader, keys, entries), axis=_axis(path, arguments.x)), path.name)
    return 0


def _axis(path: Path, kind: AxisKind) -> StepAxis | None:
    """Return the horizontal axis; `None` for the step. Raises UserError if the run has no such axis."""
    if kind == "step":
        return None
    progress = StepProgress(partial(JournalTail, path, busy_seconds=BUSY_SECONDS))
    progress.refresh()
    axis = axis_of(kind, progress)
    if axis is None:
        raise UserError(f"the run {path.name!r} has no {kind} to draw over: leave out --x")
    return axis


def _print_charts(printed: PrintedCurves, run: str) -> None:
    """Print the charts of the screen, in colour on a terminal that has colours."""
    console = open_console()
    lines = chart_lines(printed, width=terminal_width(), ascii_only=not _can_draw())
    if printed.marks.marks:
        lines[-1].append(f"; details: {_events_command(run)}")
    else:
        lines = lines[:-1]
    for line in lines:
        console.print(line, soft_wrap=True)
    if isinstance(console.file, SafeStream):
        console.file.check()


def _print_plotext(curves: Sequence[MetricCurve], entries: Sequence[Entry], run: str) -> None:
    """Print charts of the library plotext, without colours."""
    from cockpit.console.plotext_charts import marked_steps, plotext_lines  # noqa: PLC0415 - only --plotext needs it

    marks = marked_steps(entries)
    lines: list[str] = []
    for curve in curves:
        lines += [*plotext_lines(curve, marks, width=terminal_width(), height=10, ascii_only=not _can_draw()), ""]
    legend = f"the marks at the top are interventions, see: {_events_command(run)}"
    print_lines([*lines[:-1], *([legend] if marks else [])])


def _events_command(run: str) -> str:
    return f"{program_name()} events {escape_control(run)}"


def terminal_width() -> int:
    """Return the terminal's width in columns, held within 40..240; 80 without a terminal."""
    return min(max(shutil.get_terminal_size().columns, _MIN_WIDTH), _MAX_WIDTH)


def _can_draw() -> bool:
    """Return whether the output's encoding has braille patterns and the signs of charts."""
    try:
        "⡇│▼◆╌".encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
