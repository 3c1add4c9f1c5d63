"""The signals of the process around a screen: before it opens, while it shows, and after it."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import TYPE_CHECKING, Final

from cockpit.app.training_handle import TrainingHandle
from cockpit.terminal.terminal import Terminal
from engine.runtime.host.start_signals import heeded_signals

if TYPE_CHECKING:
    from cockpit.app.screen_app import ScreenApp

_AT_ONCE: Final = 2
"""The interrupt (SIGINT) that ends the process; the first one stops the run with a checkpoint."""


class ScreenSignals:
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
        is_hang_up = number == signal.SIGHUP
        if is_hang_up and self._ignores_hang_up and not self._terminal.is_gone():
            return
        self.hung_up = self.hung_up or is_hang_up
        if number == signal.SIGINT:
            self._count_interrupt()
        is_detached = self.app is not None and self.app.shutdown.is_detached
        goes_on = is_hang_up and (self._keep_running or self._ignores_hang_up or is_detached)
        if self._training is not None and not goes_on:
            self._training.stop(number)
        if self.app is not None:
            self.app.signalled(number)

    def _count_interrupt(self) -> None:
        self._num_interrupts += 1
        holds_program = self._training is not None and self._training.holds_program()
        if self._num_interrupts < _AT_ONCE or holds_program:
            return
        if self._terminal.is_taken:
            self._terminal.restore()
        os._exit(128 + signal.SIGINT)
