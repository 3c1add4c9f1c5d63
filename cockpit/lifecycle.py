"""A training with a screen, from the first frame to the exit code, whatever happens to the screen on the way."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from cockpit.app import CockpitApp
from cockpit.settings import Settings
from cockpit.terminal import Terminal
from cockpit.training import Ending, Training
from engine.runs import CONSOLE_LOG

_AT_ONCE: Final = 3
"""The interrupt (SIGINT) that ends the process where the first opened the dialog and the second stopped the run."""


def run_on_screen(directory: Path, training: Training, settings: Settings, *, keep_running: bool) -> Ending:
    """Open the screen on the run in `directory` and stay until the training has ended; says how.

    A closed terminal stops the training with a checkpoint, unless `keep_running`. A screen that fails is replaced by
    the console reporter.
    """
    with Terminal(directory / CONSOLE_LOG) as terminal:
        app = CockpitApp(directory, settings=settings, training=training, terminal=terminal)
        signals = _Signals(app, training, terminal, keep_running=keep_running)
        faulthandler.enable(2)
        with signals, _polite_switching():
            _run(app)
            if signals.hung_up:
                terminal.leave_to_log()
                return _wait(training)
            terminal.release()
            if app.gave_up and training.ending() is None:
                return _follow_on_console(directory, training)
            return _wait(training)


@contextmanager
def _polite_switching() -> Generator[None]:
    """Let threads take turns every millisecond: by Python's own five a training waits for whole pictures."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.001)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _run(app: CockpitApp) -> None:
    """Run the screen; an app that falls over has given up, and that is no reason to end the training."""
    try:
        app.run()
    except Exception as error:
        logging.getLogger(__name__).error("the screen failed: %s", error, exc_info=error)
        app.gave_up = True


def _follow_on_console(directory: Path, training: Training) -> Ending:
    # Only a screen that has failed needs it.
    from cockpit.console.reporter import ConsoleReporter  # noqa: PLC0415

    log = directory / CONSOLE_LOG
    print(f"the screen failed ({log} says why); the training goes on and is reported here", file=sys.stderr)
    reporter = ConsoleReporter(directory)
    reporter.start()
    training.start()
    try:
        return _wait(training)
    finally:
        reporter.stop(final=False)


def _wait(training: Training) -> Ending:
    """Wait for the end, in short turns: signals are handled between them."""
    while (ending := training.wait(0.5)) is None:
        pass
    return ending


class _Signals:
    """Handles SIGINT, SIGTERM and SIGHUP while there is a screen, and after it. For the main thread."""

    def __init__(self, app: CockpitApp, training: Training, terminal: Terminal, *, keep_running: bool) -> None:
        self.hung_up = False
        self._app = app
        self._training = training
        self._terminal = terminal
        self._keep_running = keep_running
        self._num_interrupts = 0

    def __enter__(self) -> None:
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self._before = {number: signal.signal(number, self._on_signal) for number in numbers}

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self._interrupt()
        elif number == signal.SIGHUP:
            self.hung_up = True
            if not self._keep_running:
                self._training.stop(number)
        else:
            self._training.stop(number)
        self._app.signalled(number)

    def _interrupt(self) -> None:
        """Whether the screen still asks or not: the third one in all ends the process."""
        self._num_interrupts += 1
        if self._num_interrupts >= _AT_ONCE:
            if self._terminal.is_taken:
                self._terminal.restore()
            os._exit(128 + signal.SIGINT)
        if not self._app.is_running:
            self._training.stop(signal.SIGINT)
