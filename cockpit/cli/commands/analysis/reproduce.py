"""`main.py redrive RUN`: reproduce a run with its recorded commands, and compare it bit by bit.

`main.py` passes in the function that needs torch; it is called only if the run exists.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from cockpit.cli.attached_runs import refuse_redrive
from cockpit.cli.output import print_json, print_lines
from cockpit.terminal.standard_streams import complain
from cockpit.text.format import escape_control
from engine.journal.disk.find_run import find_run
from engine.outputs.reproduction_report import ReproductionReport, ReproductionRequest, report_lines
from engine.protocol.codec import to_json


def run_redrive(arguments: argparse.Namespace, redrive: Callable[[ReproductionRequest], ReproductionReport]) -> int:
    """Print the comparison; return 0 if trace and weights are bit-identical, else 1.

    Raises UserError if the run does not exist, is attached, has not ended, or its journal lacks what is needed.
    """
    run_dir = find_run(arguments.runs_dir, arguments.run)
    refuse_redrive(run_dir)
    complain(escape_control(f"driving {run_dir.name} again ..."))
    report = redrive(ReproductionRequest(run_dir, arguments.runs_dir, arguments.run_name))
    if arguments.json:
        fields = to_json(report)
        assert isinstance(fields, dict)
        print_json({**fields, "identical": report.identical})
    else:
        print_lines([escape_control(line) for line in report_lines(report)])
    return 0 if report.identical else 1
