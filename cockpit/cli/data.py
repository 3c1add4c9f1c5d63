"""`main.py data inspect DIR`: what a data set holds, and what in it cannot be used."""

from __future__ import annotations

import argparse

from cockpit.cli.output import print_lines
from engine.data.inspect import inspect_dataset, report_lines


def run_data(arguments: argparse.Namespace) -> int:
    """Print what is in the directory. Raises UserError where there is no data set."""
    print_lines(report_lines(inspect_dataset(arguments.directory)))
    return 0
