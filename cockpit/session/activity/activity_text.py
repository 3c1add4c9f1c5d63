"""What a run is at and for how long, so that a slow step never looks frozen; and how fast it goes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cockpit.session.activity.pace import Pace
from cockpit.text.format import duration, escape_control
from engine.protocol.events import Activity, Paused
from engine.protocol.state import RunState

if TYPE_CHECKING:  # the list of runs needs no numpy, which the reader imports
    from engine.journal.reader import Entry

OVER: Final = (Activity.FINISHED, Activity.FAILED)
"""What a run that has ended is at."""
_BLIND_SECONDS: Final = 5.0
"""Seconds without a look from which the time is not that of steps: Ctrl+Z stops the screen and its training."""


class ActivityText:
    """Watches states over time; a partial file in the directory `checkpoints` indicates a slow disk."""

    def __init__(self, checkpoints: Path) -> None:
        self.pace = Pace()
        self._checkpoints = checkpoints
        self._at: tuple[Activity, str] | None = None
        self._first_step: int | None = None
        self._since = self._moved_at = 0.0
        self._looked_at = math.inf
        self._paused_at: float | None = None
        self._is_as_opened = True

    def note(self, entries: Sequence[Entry], now: float) -> None:
        """Take new events at `now` (seconds): a run may have been paused long before it was opened."""
        times = [entry.time for entry in entries if isinstance(entry.event, Paused)]
        if times:
            self._paused_at = now - max(0.0, time.time() - times[-1])

    def observe(self, state: RunState, now: float, *, silent: bool) -> None:
        """Record that the run was in `state` at `now` (seconds): its activity, and the times of its last changes.

        `silent`: its process gives no sign of life. It may be stopped, and go on later.
        """
        if self._at is None or self._at[0] is not state.activity:
            self._moved_at = now
        if self._at != (state.activity, state.doing):
            self._is_as_opened = self._at is None
            self._at, self._since = (state.activity, state.doing), now
        if self._first_step is None:
            self._first_step = state.step
        if now - self._looked_at > _BLIND_SECONDS:
            self.pace.interrupt()
        self._looked_at = now
        if self.pace.observe(now, state.step):
            self._moved_at = now
        if silent or state.activity in (Activity.PAUSED, *OVER):
            self.pace.interrupt()

    def text(self, state: RunState, now: float) -> str:
        """Return the activity of the run in words, with its duration if that is long."""
        at_it = duration(now - self._since)
        match state.activity:
            case Activity.FINISHED | Activity.FAILED:
                return state.activity.value
            case Activity.PAUSED:
                return f"paused, {duration(now - self._pause_began())}"
            case _ if state.doing:
                return f"{escape_control(state.doing)}, {at_it}"
            case Activity.STARTING:
                return f"starting: opening the data and building the network, {at_it}"
            case Activity.RUNNING:
                return self._step_text(state, now)
            case Activity.VALIDATING:
                return f"validating, {at_it}"
            case Activity.STOPPING:
                return f"stopping: the last checkpoint is written, {at_it}"

    def _pause_began(self) -> float:
        return self._since if self._paused_at is None or not self._is_as_opened else self._paused_at

    def _step_text(self, state: RunState, now: float) -> str:
        still = now - self._moved_at
        if state.step == self._first_step:
            return f"waiting for the first step, {duration(still)}"
        usual = 1 / (self.pace.steps_per_second() or 1.0)
        if still < max(2.0, 3 * usual):
            left = state.steps_until_pause
            return "running" if left is None else f"running {left} more step{'' if left == 1 else 's'}, then pause"
        if any(self._checkpoints.glob("*.partial")):
            return f"writing a checkpoint, {duration(still)}"
        return f"step {state.step + 1} is under way, {duration(still)}"
