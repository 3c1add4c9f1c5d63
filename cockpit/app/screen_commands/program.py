"""`main.py run PROGRAM`: show an untouched program's training, on a screen or on the console.

`main.py` passes in the function that needs torch.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cockpit.console.run_end import complain_of_failure, discard_refused, sum_up
from cockpit.terminal.shell_job import ShellJob, begin_job
from cockpit.terminal.standard_streams import complain
from cockpit.terminal.terminal import why_no_screen
from engine.errors import UserError
from engine.journal.disk.new_run import create_run, discard_run
from engine.runtime.host.background import BackgroundRun, Ended
from engine.runtime.host.interrupt import Interrupt, signals_to
from engine.runtime.host.time_limit import time_limit

if TYPE_CHECKING:
    from cockpit.preferences.settings import Settings
    from engine.adapters.programs.command import Program

    Supervise = Callable[[Program, Interrupt], int]


def run_and_show(arguments: Namespace, supervise: Supervise) -> int:
    """Run an untouched program, and watch and steer the training in it, on a screen or with reports on the console.

    `supervise` runs it to its end. Raises UserError if there is no such program.
    """
    from cockpit.console.notify.notifier import notifying  # noqa: PLC0415
    from cockpit.preferences.settings import load_settings, settings_file  # noqa: PLC0415
    from engine.adapters.programs.command import Program, command_of  # noqa: PLC0415

    settings = load_settings(settings_file())
    command = command_of(arguments.program)
    reason = "" if arguments.no_ui else why_no_screen()
    if reason:
        complain(f"{reason}: continuing as with --no-ui")
    job = None if arguments.no_ui or reason else begin_job()
    interrupt = Interrupt(limit=time_limit(arguments.time_limit, {}))
    heeded = signals_to(interrupt, keep_running=arguments.keep_running)
    with heeded, notifying((*arguments.notify, *settings.notify)) as tell:
        directory = create_run(arguments.runs_dir, arguments.run_name, stem=Path(command.name).stem)
        tell(directory, False)
        training = BackgroundRun(lambda: supervise(Program(command, directory), interrupt), interrupt)
        try:
            ending = _watch(training, directory, arguments, job and (settings, job))
        except UserError:
            discard_run(directory)
            raise
    if ending.code == 2:
        discard_refused(directory, job)
        raise UserError(ending.error)
    if ending.code == 1:
        complain_of_failure(directory)
    return ending.code or interrupt.exit_code()


def _watch(
    training: BackgroundRun, directory: Path, arguments: Namespace, screen: tuple[Settings, ShellJob] | None
) -> Ended:
    """Show a program's run until its end, on the console without a `screen`, and print its summary."""
    from cockpit.console.reporting.reporter import ConsoleReporter  # noqa: PLC0415

    if screen is None:
        reporter = ConsoleReporter(directory, quiet=arguments.quiet)
        reporter.start()
        training.start()
        while (ending := training.wait(0.5)) is None:
            pass
        reporter.stop(final=ending.code != 2)
        return ending
    from cockpit.app.runner import run_on_screen  # noqa: PLC0415

    settings, job = screen
    shown = run_on_screen(directory, training, settings, job, keep_running=arguments.keep_running)
    if shown.code != 2:
        sum_up(directory)
    return Ended(shown.code, shown.error)
