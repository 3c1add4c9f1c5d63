"""The end of a run that this process has started: its summary, why it failed, and no directory if it never began."""

from __future__ import annotations

from pathlib import Path

from cockpit.terminal.shell_job import ShellJob
from cockpit.terminal.standard_streams import complain
from cockpit.text.format import escape_control
from engine.journal.disk.new_run import discard_run
from engine.journal.disk.run_dir import CONSOLE_LOG, JOURNAL_FILE
from engine.runtime.host.interrupt import Interrupt


def complain_of_failure(directory: Path) -> None:
    """Write why the run failed, and the log file that has more; on a full disk there may be none."""
    from cockpit.session.run_summary import failure_of  # noqa: PLC0415

    log, reason = directory / CONSOLE_LOG, failure_of(directory)
    more = f"; {log} has more" if log.exists() and log.stat().st_size else ""
    complain(f"error: the run failed{f': {escape_control(reason)}' if reason else ''}{more}")


def discard_refused(directory: Path, job: ShellJob | None) -> None:
    """Remove the directory of a run that cannot start; after a detach only its log has the reason."""
    if job is None or not job.has_left:
        discard_run(directory)


def end_unbegun(directory: Path, interrupt: Interrupt) -> None:
    """Say that a run was stopped before training began, and remove its directory if it had no journal."""
    if interrupt.has_trained or not interrupt.is_set():
        return
    complain(f"the run ended before training began ({interrupt.cause()[1]}): the same command begins again")
    if not (directory / JOURNAL_FILE).exists():
        discard_run(directory)


def sum_up(directory: Path) -> None:
    """Print the summary of the run."""
    from cockpit.console.reporting.reporter import ConsoleReporter  # noqa: PLC0415

    ConsoleReporter(directory, quiet=True).stop()
