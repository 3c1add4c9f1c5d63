"""Detect spikes of the loss and the gradient norm: a rule scores a value, a detector reports one event per spike.

`MedianRule` is the default, because it has the fewest false alarms on a recorded run, and the guardian acts on alarms.
Its centre and spread ignore up to half of the window. On a logarithmic scale one threshold fits both a loss of 2 and a
gradient norm of 0.02. The cost is sensitivity. The z-score of ZClip with a threshold of 6 finds more of the large
spikes, with about 14 false alarms in 10,000 steps. At its published 2.5 it fires on the tail of every healthy run. On
heavy tails, such as a t distribution with 4 degrees of freedom, no rule is quiet. `python -m tests.benchmarks.spikes`
compares them.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from engine.protocol.record import record

_ROUNDING = 1e-9
"""A bound on the error of a difference of logarithms."""
_LEAST = 1e-12
"""Minimum value: losses and norms are >= 0, and this keeps their logarithm finite."""


@record
class SpikeScore:
    """A value relative to its history: `score` deviations above the `centre`."""

    value: float
    centre: float
    score: float


class SpikeRule(Protocol):
    """Scores finite values one by one against earlier ones."""

    def read(self, value: float) -> SpikeScore | None:
        """Return the value's score, positive upwards, and add the value; `None` if there are too few earlier values."""
        ...

    def reset(self) -> None:
        """Forget most of the history after an intervention."""
        ...


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


def _jumps(rule: SpikeRule, values: Sequence[float], least: float) -> list[tuple[int, SpikeScore]]:
    """Return the rows and scores of the values that may be spikes."""
    if isinstance(rule, MedianRule):
        return rule.jumps(values, least)
    read = [(row, rule.read(value)) for row, value in enumerate(values) if math.isfinite(value)]
    return [(row, reading) for row, reading in read if reading]


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


@record
class Tolerance:
    """Thresholds of a spike: its score above `score`, and the value at least `ratio` times the centre.

    For `settling` steps after `reset` both are wider, initially by the factor `wide` on a logarithmic scale, then less.
    An event ends when no value was over for `cooldown` steps.
    """

    score: float = 4.5
    ratio: float = 1.5
    wide: float = 3.0
    settling: int = 50
    cooldown: int = 25


class SpikeDetector:
    """Monitors several metrics together: simultaneous or repeated jumps are one event.

    `quiet` and `settling` count down the steps without new events, and those of wider tolerance.
    """

    def __init__(self, rules: Mapping[str, SpikeRule], tolerance: Tolerance):
        self._rules = rules
        self._tolerance = tolerance
        self._least_jump = math.log(tolerance.ratio) - _ROUNDING
        self.quiet = 0
        self.settling = 0

    def observe(self, values: Mapping[str, float]) -> tuple[str, SpikeScore] | None:
        """Return the metric that jumped most at this step if an event begins, else `None`.

        Non-finite values are ignored.
        """
        width = self._width()
        self.quiet = max(0, self.quiet - 1)
        over: tuple[str, SpikeScore] | None = None
        for metric, rule in self._rules.items():
            value = values.get(metric, math.nan)
            reading = rule.read(value) if math.isfinite(value) else None
            if reading and self._is_over(reading, width) and (over is None or reading.score > over[1].score):
                over = metric, reading
        if over is None:
            return None
        begins = self.quiet == 0
        self.quiet = self._tolerance.cooldown
        return over if begins else None

    def observe_block(self, series: Mapping[str, Sequence[float]]) -> list[tuple[int, str, SpikeScore]]:
        """Return the events of several steps as `observe` would, with their rows. `series` has the values by metric."""
        num_rows = len(next(iter(series.values())))
        widths = [self._width() for _ in range(min(self.settling, num_rows))]
        over: dict[int, tuple[str, SpikeScore]] = {}
        for metric, rule in self._rules.items():
            for row, reading in _jumps(rule, series[metric], self._least_jump):
                width = widths[row] if row < len(widths) else 1.0
                if self._is_over(reading, width) and (row not in over or reading.score > over[row][1].score):
                    over[row] = metric, reading
        found: list[tuple[int, str, SpikeScore]] = []
        last = -1
        for row in sorted(over):
            if row - last >= self.quiet:
                found.append((row, *over[row]))
            self.quiet, last = self._tolerance.cooldown, row
        self.quiet = max(0, self.quiet - (num_rows - 1 - last))
        return found

    def reset(self) -> None:
        """Warm up again with a wider tolerance after an intervention or a rollback."""
        self.settling = self._tolerance.settling
        for rule in self._rules.values():
            rule.reset()

    def _width(self) -> float:
        if not self.settling:
            return 1.0
        width = 1 + (self._tolerance.wide - 1) * self.settling / self._tolerance.settling
        self.settling -= 1
        return width

    def _is_over(self, reading: SpikeScore, width: float) -> bool:
        tolerance = self._tolerance
        return reading.score > tolerance.score * width and reading.value > reading.centre * tolerance.ratio**width
