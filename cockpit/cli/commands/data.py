"""`main.py data inspect DIR`: print what a data set contains, and what of it cannot be used."""

from __future__ import annotations

import argparse
import sys

from cockpit.cli.output import print_lines
from engine.errors import UserError
from engine.task import HasInspect, load_task


def run_data(arguments: argparse.Namespace) -> int:
    """Print the content of the directory; return 0 if a run can train on it, else 1.

    Raises UserError if there is no data set, or the task has no `inspect`.
    """
    task = load_task(arguments.task)
    if not isinstance(task, HasInspect):
        raise UserError(f"the task {task.spec.name or arguments.task!r} has no `inspect` to look into data with")
    is_watched = sys.stderr is not None and sys.stderr.isatty()
    found = task.inspect(
        arguments.directory,
        pictures=arguments.pictures,
        options={"use_crowds": arguments.use_crowds},
        on_progress=_say if is_watched else _stay_silent,
    )
    if is_watched:
        _say("")
    print_lines(found.lines)
    return 0 if found.is_usable else 1


def _stay_silent(text: str) -> None:
    """Show nothing, because standard error is not a terminal."""


def _say(text: str) -> None:
    """Show the progress on the terminal, in place of the previous text."""
    encoding = sys.stderr.encoding or "utf-8"
    line = "".join(character for character in text if character.isprintable())[:78]
    sys.stderr.write(f"\r{line.encode(encoding, 'backslashreplace').decode(encoding):<79}\r")
    sys.stderr.flush()
