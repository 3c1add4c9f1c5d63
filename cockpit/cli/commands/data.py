"""`main.py data inspect DIR`: print what a data set contains, and what of it cannot be used."""

from __future__ import annotations

import argparse

from cockpit.cli.output import clear_progress, print_lines, say_progress
from engine.errors import UserError
from engine.task import HasInspect, load_task


def run_data(arguments: argparse.Namespace) -> int:
    """Print the content of the directory; return 0 if a run can train on it, else 1.

    Raises UserError if there is no data set, or the task has no `inspect`.
    """
    task = load_task(arguments.task)
    if not isinstance(task, HasInspect):
        raise UserError(f"the task {task.spec.name or arguments.task!r} has no `inspect` to look into data with")
    found = task.inspect(
        arguments.directory,
        pictures=arguments.pictures,
        options={"use_crowds": arguments.use_crowds},
        on_progress=say_progress,
    )
    clear_progress()
    print_lines(found.lines)
    return 0 if found.is_usable else 1
