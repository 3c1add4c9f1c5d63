"""Requests of signals and of a time limit to the engine, and the signal handlers of a run without a screen."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

from engine.config.signal_reactions import USER_SIGNALS, Reactions
from engine.protocol.commands import SIGNAL, TIME_LIMIT
from engine.runtime.host.start_signals import heeded_signals
from engine.runtime.host.time_limit import TimeLimit


class StoppedEarlyError(Exception):
    """Raised if the run must end before its first step: nothing was trained, so no checkpoint is needed."""


_USUAL: Final = Reactions()


@dataclass(slots=True)
class Interrupt:
    """A request to stop, set by a signal handler: the number of the first signal, or 0.

    `stop` requests the same end without a signal. The exit code is then that of a stop by command. A run also ends at
    its time `limit`. `checkpoint` is the signal that requested a checkpoint, 0 for none. `has_trained` is whether
    training has begun. `is_complete` is whether the run had nothing left to do, so that a scheduler must not queue it
    again. `num_repeated` counts the requests of users who ask once more: SIGINT after another request, or SIGTERM
    again. With `holds_program` they do not end this process immediately, because a program would outlive it: its
    supervisor ends the program.
    """

    signal: int = 0
    stop: bool = False
    limit: TimeLimit | None = None
    checkpoint: int = 0
    reactions: Reactions = _USUAL
    has_trained: bool = False
    is_complete: bool = False
    is_out_of_time: bool = False
    num_repeated: int = 0
    holds_program: bool = False

    def is_set(self) -> bool:
        """Return whether the run must end."""
        if self.limit is not None and not self.is_out_of_time:
            self.is_out_of_time = self.limit.is_due()
        return self.stop or bool(self.signal) or self.is_out_of_time

    def ask(self, signal: int = 0) -> None:
        """Ask the run to end or to write a checkpoint; `signal` is the number of the signal that asks, 0 for none.

        The first signal that ends the run counts.
        """
        if not signal:
            self.stop = True
        elif signal == self.reactions.checkpoint:
            self.checkpoint = signal
        elif not self.reactions.means_nothing(signal):
            self.num_repeated += self._is_repeated(signal)
            self.signal = self.signal or signal

    def _is_repeated(self, number: int) -> bool:
        if number == signal.SIGINT:
            return self.stop or bool(self.signal)
        return number == signal.SIGTERM == self.signal

    def react_as(self, reactions: Reactions) -> None:
        """Replace the meanings of signals, also of those that have come already."""
        heard, self.reactions = (self.signal, self.checkpoint), reactions
        self.signal = self.checkpoint = 0
        for number in filter(None, heard):
            self.ask(number)

    def take_checkpoint(self) -> int:
        """Return the signal that requested a checkpoint, 0 for none, and forget it."""
        number, self.checkpoint = self.checkpoint, 0
        return number

    def check(self) -> None:
        """Raise StoppedEarlyError if the run must end; called between the stages of its start."""
        if self.is_set():
            raise StoppedEarlyError

    def cause(self) -> tuple[str, str]:
        """Return the actor that ends the run, and its reason."""
        if self.signal:
            return SIGNAL, f"signal {self.signal}"
        if self.is_out_of_time and self.limit is not None:
            return TIME_LIMIT, self.limit.said
        return "cockpit", "quit in the cockpit"

    def exit_code(self) -> int:
        """Return the exit code of a run that ended well.

        It is `requeue_code` after the scheduler's signal or the time limit, unless the run is complete. It is 128 + n
        after another signal n, else 0.
        """
        if self.signal and self.signal != self.reactions.requeue:
            return 128 + self.signal
        is_preempted = bool(self.signal) or self.is_out_of_time
        return self.reactions.requeue_code if is_preempted and not self.is_complete else 0


@contextmanager
def signals_to(interrupt: Interrupt, *, keep_running: bool = False) -> Generator[None]:
    """Request a stop at the next boundary at the first SIGINT, SIGTERM or SIGHUP, and what a user's signal means.

    A second SIGINT ends the process immediately, unless it holds a program. Signals that were ignored when the process
    started stay ignored. With `keep_running` SIGHUP is ignored too. Only the main thread may enter this context.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        if interrupt.signal and number == signal.SIGINT and not interrupt.holds_program:
            os._exit(128 + number)
        interrupt.ask(number)

    before = {number: signal.signal(number, on_signal) for number in (*heeded_signals(), *_heeded_user_signals())}
    if keep_running:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heeded_user_signals() -> tuple[signal.Signals, ...]:
    return tuple(number for number in USER_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN)
