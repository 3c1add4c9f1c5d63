"""Repetitions of non-finite steps that have not ended, and which faults are worth one."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Final, Protocol

from engine.adapters.hooks.update import Update
from engine.forensics.investigate import APART, MOST_KINDS
from engine.outputs.fault_report import Fault
from engine.supervision.run_memory import RunMemory

_POLL_SECONDS: Final = 0.02
_LAST_SECONDS: Final = 15.0
"""Seconds that the end of a run waits for a repetition."""


class Repetition(Protocol):
    """A repetition of step `step` that began at `started`, by the monotonic clock."""

    step: int
    started: float

    def result(self) -> Fault | None:
        """Return the fault once it has ended, `None` before."""
        ...

    def abandon(self) -> None:
        """End it without a result."""
        ...


class PendingReplays:
    """Repetitions in copies of the process; `found(fault, step, seconds)` is called for each that has ended.

    The cockpit's thread collects them, and at the end of a run the training's thread too. They do so one at a time:
    a result is taken once, and the end comes after a finding that is just being recorded.
    """

    def __init__(self, memory: RunMemory, found: Callable[[Fault, int, float], None]) -> None:
        self._memory = memory
        self._found = found
        self._running: list[Repetition] = []
        self._collecting = Lock()

    def is_due(self, update: Update, step: int) -> bool:
        """Return whether the fault of a skipped step was not diagnosed lately, and note that it is diagnosed now."""
        diagnosed = self._memory.diagnosed_at
        kind = (update.bad, (), (), ())
        last = diagnosed.get(kind)
        is_known = last is not None and 0 <= step - last < APART
        if is_known or (last is None and len(diagnosed) >= MOST_KINDS):
            return False
        diagnosed[kind] = step
        return True

    def add(self, replay: Repetition) -> None:
        """Record the finding of `replay` when it has ended."""
        self._running.append(replay)

    def collect(self) -> None:
        """Record the findings of repetitions that have ended."""
        with self._collecting:
            for replay in tuple(self._running):
                fault = replay.result()
                if fault is not None:
                    self._running.remove(replay)
                    self._found(fault, replay.step, time.monotonic() - replay.started)

    def end(self) -> None:
        """Wait a moment for repetitions that have not ended, and give up the rest."""
        until = time.monotonic() + _LAST_SECONDS
        while self._running and time.monotonic() < until:
            self.collect()
            time.sleep(_POLL_SECONDS)
        with self._collecting:
            for replay in self._running:
                replay.abandon()
            self._running.clear()
