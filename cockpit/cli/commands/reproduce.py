"""`main.py redrive RUN`: trains a run again with its recorded interventions and says whether the bits are the same.

What needs torch is handed in by `main.py`, and called only once it is clear that there is such a run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from cockpit.cli.output import print_json, print_lines
from cockpit.terminal.standard_streams import complain
from cockpit.text.format import escape_control
from engine.journal.disk.run_dir import find_run
from engine.outputs.reproduction_report import ReproductionReport, ReproductionRequest, report_lines
from engine.protocol.codec import to_json


def run_redrive(arguments: argparse.Namespace, redrive: Callable[[ReproductionRequest], ReproductionReport]) -> int:
    """Print the comparison. 0 where trace and weights are bit-identical, 1 where they are not.

    Raises UserError where there is no such run, it still goes on, or its journal does not say how to drive it again.
    """
    run_dir = find_run(arguments.runs_dir, arguments.run)
    complain(escape_control(f"driving {run_dir.name} again ..."))
    report = redrive(ReproductionRequest(run_dir, arguments.runs_dir, arguments.run_name))
    if arguments.json:
        fields = to_json(report)
        assert isinstance(fields, dict)
        print_json({**fields, "identical": report.identical})
    else:
        print_lines([escape_control(line) for line in report_lines(report)])
    return 0 if report.identical else 1
