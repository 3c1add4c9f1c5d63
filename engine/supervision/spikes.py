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
from collections.abc import Mapping, Sequence
from typing import Protocol

from engine.protocol.record import record
from engine.supervision.median_rule import MedianRule, SpikeScore

_ROUNDING = 1e-9
"""A bound on the error of a difference of logarithms."""


class SpikeRule(Protocol):
    """Scores finite values one by one against earlier ones."""

    def read(self, value: float) -> SpikeScore | None:
        """Return the value's score, positive upwards, and add the value; `None` if there are too few earlier values."""
        ...

    def reset(self) -> None:
        """Forget most of the history after an intervention."""
        ...


def _jumps(rule: SpikeRule, values: Sequence[float], least: float) -> list[tuple[int, SpikeScore]]:
    """Return the rows and scores of the values that may be spikes."""
    if isinstance(rule, MedianRule):
        return rule.jumps(values, least)
    read = [(row, rule.read(value)) for row, value in enumerate(values) if math.isfinite(value)]
    return [(row, reading) for row, reading in read if reading]


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
