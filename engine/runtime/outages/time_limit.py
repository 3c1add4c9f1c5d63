"""Announce the end of a run at its time limit, and reserve the time for its last checkpoint."""

from __future__ import annotations

import time
from typing import Final

from engine.protocol.commands import TIME_LIMIT
from engine.protocol.events import AlertRaised, NoteAdded
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.host.time_limit import TimeLimit

_INFO: Final = "info"


class TimeKeeper:
    """Keeps the time limit of `interrupt` up to date; without one it does nothing.

    The interrupt itself requests the end. An alert announces it, five minutes ahead or a tenth of a shorter limit.
    """

    def __init__(self, interrupt: Interrupt, checkpointer: Checkpointer) -> None:
        self._interrupt = interrupt
        self._checkpointer = checkpointer
        self._is_noted = self._is_announced = False
        self._step = checkpointer.recorder.state.step

    def observe(self) -> None:
        """Use the times of checkpoints and steps; record the end's time at the first call, and announce it when near.

        Called at each boundary.
        """
        limit = self._interrupt.limit
        if limit is None:
            return
        if slowest := self._checkpointer.slowest_write:
            limit.checkpoint_seconds = slowest
        recorder = self._checkpointer.recorder
        if recorder.state.step != self._step:
            self._step = recorder.state.step
            limit.forget_a_little()
        if not self._is_noted:
            self._is_noted = True
            recorder.record_event(_note(limit), actor=TIME_LIMIT)
        if not self._is_announced and limit.is_near:
            self._is_announced = True
            recorder.record_event(self._alert(limit), actor=TIME_LIMIT)

    def skip(self) -> None:
        """Leave the time until the next look out of the times of steps: that of a pause."""
        if self._interrupt.limit is not None:
            self._interrupt.limit.skip()

    def _alert(self, limit: TimeLimit) -> AlertRaised:
        code = self._interrupt.reactions.requeue_code
        return AlertRaised(
            TIME_LIMIT,
            f"this run ends in {_spoken(limit.left)} with a checkpoint and exit code {code}: {limit.said}",
            "--resume continues it",
            severity=_INFO,
        )


def _note(limit: TimeLimit) -> NoteAdded:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + limit.left))
    return NoteAdded(f"{limit.said}: this run ends with a checkpoint at {when} at the latest")


def _spoken(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{max(seconds, 0):.0f} s"
