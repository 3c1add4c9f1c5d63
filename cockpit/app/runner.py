"""Run the app over a training or on another run: signals, fallback to the console, and the exit code."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, Protocol

from cockpit.app.app import CockpitApp
from cockpit.app.shutdown import Shutdown
from cockpit.app.training_handle import RunResult, TrainingHandle
from cockpit.preferences.settings import Settings
from cockpit.terminal.shell_job import ShellJob
from cockpit.terminal.standard_streams import complain
from cockpit.terminal.terminal import Terminal
from cockpit.text.format import escape_control
from engine.journal.disk.run_dir import CONSOLE_LOG
from engine.runtime.host.start_signals import heeded_signals

_AT_ONCE: Final = 2
"""The interrupt (SIGINT) that ends the process; the first one stops the run with a checkpoint."""


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
    signals = _Signals(training, terminal, keep_running=keep_running or settings.on_hangup == "keep")
    with signals, terminal:
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
        with _polite_switching():
            if not (training.is_stopped() or signals.hung_up):
                _run(app)
            is_detached = app.shutdown.is_detached and training.ending() is None and not training.is_stopped()
            if is_detached and not signals.hung_up:
                terminal.say(_goes_on(directory))
            if is_detached or signals.hung_up:
                terminal.leave_to_log()
            else:
                terminal.release()
            if is_detached or (signals.hung_up and not training.is_stopped()):
                job.leave()
            if app.gave_up and training.ending() is None and not signals.hung_up:
                return _follow_on_console(directory, training)
            training.start()  # one that is to go on without a screen may not have begun
            return _wait(training)


def _goes_on(directory: Path) -> str:
    from cockpit.text.next_steps import command_for  # noqa: PLC0415 - not in the first frame

    way = escape_control(command_for(directory, "attach"))
    return f"run {escape_control(directory.name)} goes on in the background (pid {os.getpid()}): {way}"


class ScreenApp(Protocol):
    """An app on a terminal; `gave_up` if it ended because of its own faults, `shutdown` closes it."""

    gave_up: bool
    shutdown: Shutdown

    shutdown: Shutdown

    def run(self) -> object:
        """Show the screen until it is left."""

    def signalled(self, number: int) -> None:
        """Handle a signal; called by its handler, at any moment."""


def run_attached(open_app: Callable[[Terminal], ScreenApp], log: Path) -> int:
    """Run the app that `open_app` opens on a run of another process until it is left; return the exit code.

    Signals end the screen and do not reach the run. Output of this process goes to the file `log`.
    """
    terminal = Terminal(log)
    signals = _Signals(None, terminal, keep_running=True)
    with signals, terminal:
        app = signals.app = open_app(terminal)
        faulthandler.enable(2)
        with _polite_switching():
            _run(app)
        if signals.hung_up:
            terminal.leave_to_log()
        else:
            terminal.release()
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
    from cockpit.console.reporter import ConsoleReporter  # noqa: PLC0415

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


class _Signals:
    """Handles SIGINT, SIGTERM and SIGHUP from before there is a screen until after it. For the main thread.

    What was ignored when the process started stays ignored, but that a closed terminal ends the screen. `training` is
    stopped; it is None for a screen on a run of another process.
    """

    def __init__(self, training: TrainingHandle | None, terminal: Terminal, *, keep_running: bool) -> None:
        self.hung_up = False
        self.app: ScreenApp | None = None
        self._training = training
        self._terminal = terminal
        self._keep_running = keep_running
        self._ignores_hang_up = signal.SIGHUP not in heeded_signals()
        self._num_interrupts = 0

    def __enter__(self) -> None:
        numbers = {*heeded_signals(), signal.SIGHUP}
        self._before = {number: signal.signal(number, self._on_signal) for number in numbers}

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            if self._ignores_hang_up and not self._terminal.is_gone():
                return
            self.hung_up = True
        if number == signal.SIGINT:
            self._count_interrupt()
        is_detached = self.app is not None and self.app.shutdown.is_detached
        goes_on = number == signal.SIGHUP and (self._keep_running or self._ignores_hang_up or is_detached)
        if self._training is not None and not goes_on:
            self._training.stop(number)
        if self.app is not None:
            self.app.signalled(number)

    def _count_interrupt(self) -> None:
        self._num_interrupts += 1
        holds_program = self._training is not None and self._training.holds_program()
        if self._num_interrupts >= _AT_ONCE and not holds_program:
            if self._terminal.is_taken:
                self._terminal.restore()
            os._exit(128 + signal.SIGINT)
