"""`main.py data inspect DIR` and `data statistics DIR`: the content of a data set, its faults, and its numbers."""

from __future__ import annotations

import argparse

from cockpit.cli.output import clear_progress, print_json, print_lines, say_progress
from cockpit.text.format import escape_control
from engine.errors import UserError
from engine.protocol.codec import to_json
from engine.task import HasInspect, HasStatistics, Task, load_task


def run_data(arguments: argparse.Namespace) -> int:
    """Print the content or the statistics of the directory; return 0, or 1 if a run cannot train on it.

    Raises UserError if there is no data set, or the task cannot read it.
    """
    task = load_task(arguments.task)
    return _measure(task, arguments) if arguments.action == "statistics" else _inspect(task, arguments)


def _inspect(task: Task, arguments: argparse.Namespace) -> int:
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


def _measure(task: Task, arguments: argparse.Namespace) -> int:
    if not isinstance(task, HasStatistics):
        raise UserError(f"the task {task.spec.name or arguments.task!r} has no `statistics` to measure data with")
    options = {"use_crowds": arguments.use_crowds}
    found = task.statistics(arguments.directory, options=options, on_progress=say_progress)
    clear_progress()
    if arguments.json:
        print_json(to_json(found.values))
    else:
        print_lines(escape_control(line) for line in found.lines)
    return 0
