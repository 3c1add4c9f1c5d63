"""`main.py profile RUN`: run some steps from a checkpoint under torch's profiler.

`main.py` passes in the function that needs torch; it is called only if there is such a run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from cockpit.cli.attached_runs import refuse_profile
from cockpit.cli.output import print_lines
from cockpit.terminal.standard_streams import complain
from cockpit.text.format import escape_control
from engine.journal.disk.find_run import find_run
from engine.outputs.profile_report import ProfileReport, ProfileRequest

_TRACE: Final = "trace.json"


def run_profile(arguments: argparse.Namespace, profile: Callable[[ProfileRequest], ProfileReport]) -> int:
    """Print the profiler's table and the file of the trace; return 0.

    Raises UserError if the run or its checkpoint is missing or unreadable, the run is attached, or writing fails.
    """
    run_dir = find_run(arguments.runs_dir, arguments.run)
    refuse_profile(run_dir)
    output = Path(arguments.output) if arguments.output else run_dir / _TRACE
    request = ProfileRequest(run_dir, arguments.steps, output, arguments.checkpoint, arguments.device)
    complain(f"profiling {escape_control(run_dir.name)} ...")
    print_lines(report_lines(profile(request)))
    return 0


def report_lines(report: ProfileReport) -> Iterator[str]:
    """Yield the start, the table, and the next step."""
    steps = f"{report.num_steps} step{'' if report.num_steps == 1 else 's'}"
    pace = f"{1000 * report.seconds_per_step:.3g} ms a step under the profiler, without data workers"
    yield escape_control(f"{steps} from step {report.from_step} ({report.checkpoint}) on {report.device}: {pace}")
    yield from report.table.splitlines()
    yield escape_control(f"trace: {report.trace}; open it in https://ui.perfetto.dev or chrome://tracing")
    yield "the run was not touched"
