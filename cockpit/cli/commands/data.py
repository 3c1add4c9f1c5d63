"""`main.py data inspect DIR`: what a data set holds, and what in it cannot be used."""

from __future__ import annotations

import argparse
import sys

from cockpit.cli.output import print_lines
from engine.tasks.person.data.readers.coco.reader import CocoOptions, quiet
from engine.tasks.person.data.readers.inspect import inspect_dataset, report_lines


def run_data(arguments: argparse.Namespace) -> int:
    """Print what is in the directory; 0 where a run can train on it, 1 where none can.

    Raises UserError where there is no data set.
    """
    is_watched = sys.stderr is not None and sys.stderr.isatty()
    options = CocoOptions(arguments.use_crowds, _say if is_watched else quiet)
    report = inspect_dataset(arguments.directory, pictures=arguments.pictures, options=options)
    if is_watched:
        _say("")
    print_lines(report_lines(report))
    return 0 if report.is_usable else 1


def _say(text: str) -> None:
    """Show on the terminal what is being read, over what was shown before."""
    encoding = sys.stderr.encoding or "utf-8"
    line = "".join(character for character in text if character.isprintable())[:78]
    sys.stderr.write(f"\r{line.encode(encoding, 'backslashreplace').decode(encoding):<79}\r")
    sys.stderr.flush()
