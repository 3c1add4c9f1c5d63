"""`main.py data inspect DIR`: what a data set holds, and what in it cannot be used."""

from __future__ import annotations

import argparse

from cockpit.cli.output import print_lines
from engine.data.inspect import inspect_dataset, report_lines


def run_data(arguments: argparse.Namespace) -> int:
    """Print what is in the directory; 0 where a run can train on it, 1 where none can.

    Raises UserError where there is no data set.
    """
    report = inspect_dataset(arguments.directory, pictures=arguments.pictures)
    print_lines(report_lines(report))
    return 0 if report.is_usable else 1
