"""Steps per second and remaining time, from the steps of the last two minutes."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_SECONDS: Final = 120.0
MIN_POINTS: Final = 6
"""Observations that are kept at any age, for slow steps."""


class Pace:
    """Watches a step counter over time. Time spent paused does not count; a counter that falls starts it afresh.

    The first step that is seen to end starts the clock: when its own work began is not known.
    """

    def __init__(self) -> None:
        self._ended: deque[tuple[float, int]] = deque()
        self._at: int | None = None

    def observe(self, now: float, step: int) -> bool:
        """Note that `step` steps were complete at `now` (seconds); return whether the counter has changed."""
        moved = step != self._at
        if self._at is not None and step > self._at:
            self._ended.append((now, step))
        elif moved:
            self._ended.clear()
        self._at = step
        while len(self._ended) > MIN_POINTS and now - self._ended[0][0] > WINDOW_SECONDS:
            self._ended.popleft()
        return moved

    def interrupt(self) -> None:
        """Forget the observations: the time until the next one is not that of steps."""
        self._ended.clear()

    def steps_per_second(self) -> float | None:
        """Return the current steps per second; `None` before two steps have ended."""
        if len(self._ended) < 2:
            return None
        (start, first), (end, last) = self._ended[0], self._ended[-1]
        return (last - first) / max(end - start, 1e-6)

    def remaining(self, now: float, total: int) -> float | None:
        """Return the seconds until `total` steps are done; `None` while the pace is unknown."""
        speed = self.steps_per_second()
        if speed is None or total <= 0:
            return None
        then, step = self._ended[-1]
        return max((total - step) / speed - (now - then), 0.0)
