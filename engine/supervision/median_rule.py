"""Score a value by its robust deviations from the median of earlier ones."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable

from engine.protocol.record import record

_LEAST = 1e-12
"""Minimum value: losses and norms are >= 0, and this keeps their logarithm finite."""


@record
class SpikeScore:
    """A value relative to its history: `score` deviations above the `centre`."""

    value: float
    centre: float
    score: float


@record
class RuleMemory:
    """Number of values that a rule needs before it scores, and the newest logarithms, oldest first."""

    needed: int
    levels: tuple[float, ...]


class MedianRule:
    """Robust deviations of the logarithm: (log v - median) / (1.4826 MAD), over the newest `window` values.

    `floor` is the minimum spread as a fraction of the value; a smaller spread only means a smooth curve. After `reset`
    only the newest few values are kept, so that the median adapts within as many steps.
    """

    def __init__(self, *, window: int = 100, warmup: int = 20, floor: float = 0.05, kept: int = 10):
        self._newest: deque[float] = deque()
        self._sorted: list[float] = []
        self._window, self._needed, self._floor, self._kept = window, warmup, floor, kept

    def read(self, value: float) -> SpikeScore | None:
        """Return the score; see `SpikeRule.read`. Takes microseconds, as the window stays sorted."""
        level = math.log(max(value, _LEAST))
        reading = self._place(value, level) if len(self._newest) >= self._needed else None
        self._newest.append(level)
        insort(self._sorted, level)
        if len(self._newest) > self._window:
            self._drop()
        return reading

    def jumps(self, values: Iterable[float], least: float) -> list[tuple[int, SpikeScore]]:
        """Add values. Return the rows and scores of those whose logarithm is more than `least` over the median."""
        newest, ordered, window, needed = self._newest, self._sorted, self._window, self._needed
        found: list[tuple[int, SpikeScore]] = []
        for row, value in enumerate(values):
            if not math.isfinite(value):
                continue
            level = math.log(value if value > _LEAST else _LEAST)
            size = len(newest)
            if size >= needed and level - _median(ordered) > least:
                found.append((row, self._place(value, level)))
            newest.append(level)
            insort(ordered, level)
            if size >= window:
                del ordered[bisect_left(ordered, newest.popleft())]
        return found

    def reset(self) -> None:
        """Keep the newest few values; see `SpikeRule.reset`."""
        if len(self._newest) >= self._needed:
            self._needed = min(self._needed, self._kept)
        while len(self._newest) > self._kept:
            self._drop()

    def memory(self) -> RuleMemory:
        """Return the memory with which a resumed run scores the next value equally."""
        return RuleMemory(self._needed, tuple(self._newest))

    def recall(self, memory: RuleMemory) -> None:
        """Restore the result of `memory`."""
        self._needed, self._newest, self._sorted = memory.needed, deque(memory.levels), sorted(memory.levels)

    def _drop(self) -> None:
        del self._sorted[bisect_left(self._sorted, self._newest.popleft())]

    def _place(self, value: float, level: float) -> SpikeScore:
        centre = _median(self._sorted)
        spread = max(1.4826 * _deviation(self._sorted, centre), self._floor)
        return SpikeScore(value, math.exp(centre), (level - centre) / spread)


def _median(ordered: list[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else 0.5 * (ordered[middle - 1] + ordered[middle])


def _deviation(ordered: list[float], centre: float) -> float:
    """Return the median distance from `centre`. Half of the values are that near, and they are adjacent in the order.

    The distance of the half starting at i is that of its farther end. One end's distance falls with i, the other's
    rises.
    """
    half = len(ordered) // 2 + 1
    low, high = 0, len(ordered) - half
    while low < high:
        middle = (low + high) // 2
        if centre - ordered[middle] > ordered[middle + half - 1] - centre:
            low = middle + 1
        else:
            high = middle
    starts = (low - 1, low) if low else (low,)
    return min(max(centre - ordered[i], ordered[i + half - 1] - centre) for i in starts)
