"""How fast a run goes and how long it will take, from the steps of the last two minutes."""

from __future__ import annotations

from collections import deque
from typing import Final

WINDOW_SECONDS: Final = 120.0
MIN_POINTS: Final = 6
"""Slow steps: so many observations are kept whatever their age."""


class Pace:
    """Watches a step counter over time. Time spent paused does not count; a counter that falls starts it afresh."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def observe(self, now: float, step: int) -> bool:
        """The run had completed `step` steps at `now` (seconds). True when the counter moved."""
        if self._seen and step < self._seen[-1][1]:
            self._seen.clear()
        moved = not self._seen or step > self._seen[-1][1]
        if len(self._seen) == 1 and not moved:
            self._seen.clear()  # the wait before the first step is no part of the steps' pace
        if not self._seen or moved:
            self._seen.append((now, step))
        while len(self._seen) > MIN_POINTS and now - self._seen[0][0] > WINDOW_SECONDS:
            self._seen.popleft()
        return moved

    def interrupt(self) -> None:
        """The run stands still on purpose: what was seen before says nothing about what comes after."""
        self._seen.clear()

    def steps_per_second(self) -> float | None:
        """Steps per second lately; None before two observations."""
        if len(self._seen) < 2:
            return None
        (start, first), (end, last) = self._seen[0], self._seen[-1]
        return (last - first) / max(end - start, 1e-6)

    def remaining(self, now: float, total: int) -> float | None:
        """Seconds until `total` steps are done, counting down between steps too; None while nothing is known."""
        speed = self.steps_per_second()
        if speed is None or total <= 0:
            return None
        then, step = self._seen[-1]
        return max((total - step) / speed - (now - then), 0.0)
