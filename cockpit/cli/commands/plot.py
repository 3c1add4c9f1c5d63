"""`main.py plot RUN`: a run's curves in the terminal, live or finished."""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import closing

from cockpit.cli.metric_names import known_keys
from cockpit.cli.output import print_lines
from cockpit.console.charts import chart_lines, marked_steps, read_curves, summary_metrics
from cockpit.text.format import escape_control
from engine.journal.disk.run_dir import find_run
from engine.journal.reader import JournalReader
from engine.protocol.command_syntax import program_name

_MIN_WIDTH, _MAX_WIDTH = 40, 240


def run_plot(arguments: argparse.Namespace) -> int:
    """Draw the metrics asked for. Raises UserError where the run or a metric is not known."""
    path = find_run(arguments.runs_dir, arguments.run)
    with closing(JournalReader(path)) as reader:
        usual = (*summary_metrics(reader.spec()), "lr")
        keys = usual if arguments.keys is None else known_keys(arguments.keys, reader.metric_names(), path.name)
        marks = marked_steps(reader.events())
        curves = read_curves(reader, keys, marks)
    lines = chart_lines(curves, width=terminal_width(), ascii_only=not _can_draw())
    legend = f"the marks at the top are interventions, see: {program_name()} events {escape_control(path.name)}"
    print_lines([*lines[:-1], *([legend] if marks else [])])
    return 0


def terminal_width() -> int:
    """The terminal's width in columns, within 40..240; 80 where there is none."""
    return min(max(shutil.get_terminal_size().columns, _MIN_WIDTH), _MAX_WIDTH)


def _can_draw() -> bool:
    """Whether the output's encoding has braille patterns and box-drawing lines."""
    try:
        "⡇│▼×".encode(sys.stdout.encoding or "utf-8")  # noqa: RUF001  # the very characters that are drawn
    except (UnicodeEncodeError, LookupError):
        return False
    return True
