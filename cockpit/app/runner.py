"""Run the app over a training or on another run: signals, fallback to the console, and the exit code."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from cockpit.app.app import CockpitApp
from cockpit.app.screen_app import ScreenApp
from cockpit.app.signals import ScreenSignals
from cockpit.app.training_handle import RunResult, TrainingHandle
from cockpit.preferences.settings import Settings
from cockpit.terminal.shell_job import ShellJob
from cockpit.terminal.standard_streams import complain
from cockpit.terminal.terminal import Terminal
from cockpit.text.format import escape_control
from engine.journal.disk.run_dir import CONSOLE_LOG


def run_on_screen(
    directory: Path,
    training: TrainingHandle,
    settings: Settings,
    job: ShellJob,
    *,
    keep_running: bool,
    baseline: Path | None = None,
) -> RunResult:
    """Open the screen on the run in `directory` and stay until the training has ended; says how.

    Detached, the training goes on without terminal and shell. A closed terminal stops it with a checkpoint, unless
    `keep_running` or the settings say that it is detached then. A screen that fails is replaced by the console
    reporter. A signal that comes before the screen opens ends the training before it begins. The curves of the run in
    the directory `baseline` are drawn below those of this one.
    """
    terminal = Terminal(directory / CONSOLE_LOG, job)
    signals = ScreenSignals(training, terminal, keep_running=keep_running or settings.on_hangup == "keep")
    with signals, terminal, _polite_switching():
        app = CockpitApp(
            directory,
            settings=settings,
            training=training,
            terminal=terminal,
            baseline=baseline,
            cannot_detach=job.why_not,
        )
        signals.app = app
        faulthandler.enable(2)
        if not (training.is_stopped() or signals.hung_up):
            _run(app)
        _leave(app, directory, training, signals, terminal, job)
        if app.gave_up and training.ending() is None and not signals.hung_up:
            return _follow_on_console(directory, training)
        training.start()  # one that is to go on without a screen may not have begun
        return _wait(training)


def _leave(
    app: CockpitApp,
    directory: Path,
    training: TrainingHandle,
    signals: ScreenSignals,
    terminal: Terminal,
    job: ShellJob,
) -> None:
    """Give the terminal back, and the shell its prompt if the training goes on without them."""
    is_detached = app.shutdown.is_detached and training.ending() is None and not training.is_stopped()
    if is_detached and not signals.hung_up:
        terminal.say(_goes_on(directory))
    _hand_back(terminal, is_gone=is_detached or signals.hung_up)
    if is_detached or (signals.hung_up and not training.is_stopped()):
        job.leave()


def _hand_back(terminal: Terminal, *, is_gone: bool) -> None:
    """Give the terminal back; output goes on to the log if the terminal is gone, or this process leaves it."""
    if is_gone:
        terminal.leave_to_log()
    else:
        terminal.release()


def _goes_on(directory: Path) -> str:
    from cockpit.text.next_steps import command_for  # noqa: PLC0415 - not in the first frame

    way = escape_control(command_for(directory, "attach"))
    return f"run {escape_control(directory.name)} goes on in the background (pid {os.getpid()}): {way}"


def run_attached(open_app: Callable[[Terminal], ScreenApp], log: Path) -> int:
    """Run the app that `open_app` opens on a run of another process until it is left; return the exit code.

    Signals end the screen and do not reach the run. Output of this process goes to the file `log`.
    """
    terminal = Terminal(log)
    signals = ScreenSignals(None, terminal, keep_running=True)
    with signals, terminal, _polite_switching():
        app = signals.app = open_app(terminal)
        faulthandler.enable(2)
        _run(app)
        _hand_back(terminal, is_gone=signals.hung_up)
    if app.gave_up and not signals.hung_up:
        complain(f"the screen failed (see {log}); the run is not affected")
        return 1
    return 0


def run_served(open_app: Callable[[None], CockpitApp], log: Path) -> int:
    """Run the app that `open_app` opens in the browser that Textual's driver serves; return the exit code.

    Output of this process goes to the file `log`. The driver handles signals.
    """
    # Only a screen in a browser needs it.
    from cockpit.terminal.drivers.web_driver import packets_on_output  # noqa: PLC0415

    with packets_on_output(log):
        app = open_app(None)
        _run(app)
    return int(app.gave_up)


@contextmanager
def _polite_switching() -> Generator[None]:
    """Let threads take turns every millisecond: by Python's own five a training waits for whole pictures."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.001)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _run(app: ScreenApp) -> None:
    """Run the screen; an app that raises has given up, and the training continues."""
    try:
        app.run()
    except Exception as error:
        logging.getLogger(__name__).error("the screen failed: %s", error, exc_info=error)
        app.gave_up = True


def _follow_on_console(directory: Path, training: TrainingHandle) -> RunResult:
    # Only a screen that has failed needs it.
    from cockpit.console.reporting.reporter import ConsoleReporter  # noqa: PLC0415

    log = directory / CONSOLE_LOG
    complain(f"the screen failed (see {log}); the training continues and is reported here")
    reporter = ConsoleReporter(directory)
    reporter.start()
    training.start()
    try:
        return _wait(training)
    finally:
        reporter.stop(final=False)


def _wait(training: TrainingHandle) -> RunResult:
    """Wait for the end in short intervals, so that signals are handled between them."""
    while (ending := training.wait(0.5)) is None:
        pass
    return ending
