"""The input of a monitor at one step, and a latch that prevents repeated alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.protocol.events import AlertRaised
from engine.protocol.record import record
from engine.protocol.state import RunState

LEAST_GAP = 200
"""Minimum steps until an alert that has cleared is raised again."""


@record
class StepMetrics:
    """One step: its number (from 1), metrics by name, the state after it, and its duration in seconds."""

    number: int
    metrics: Mapping[str, float]
    state: RunState
    seconds: float

    @property
    def is_finite(self) -> bool:
        """Whether the step was finite, so that its metrics are meaningful."""
        return not self.metrics.get("skipped", 0.0)


@record
class StepBlock:
    """Finite steps in a row: their numbers (from 1), durations in seconds and the state that they all had.

    `values` are the metrics, an array (steps, names), and `index` is the column of each name.
    """

    numbers: Sequence[int]
    index: Mapping[str, int]
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]
    state: RunState

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.numbers)

    def column(self, name: str) -> NDArray[np.float64]:
        """Return one metric of all steps; zeros if they lack it."""
        place = self.index.get(name)
        return np.zeros(len(self)) if place is None else self.values[:, place]

    def step(self, row: int) -> StepMetrics:
        """Return one of the steps."""
        metrics = dict(zip(self.index, self.values[row].tolist(), strict=True))
        return StepMetrics(self.numbers[row], metrics, self.state, float(self.seconds[row]))


AlertOfRow = tuple[int, AlertRaised]
"""An alert, and the row of its step in a block."""


class Monitor(Protocol):
    """Checks every step for one kind of problem."""

    def observe(self, observed: StepMetrics) -> tuple[AlertRaised, ...]:
        """Return the alerts of this step. A problem raises no second alert before it has cleared."""
        ...

    def observe_block(self, block: StepBlock) -> list[AlertOfRow]:
        """Return the alerts of several steps, as `observe` would for each of them."""
        ...

    def reset(self) -> None:
        """Forget the history after an intervention or a rollback."""
        ...


def observe_each(monitor: Monitor, block: StepBlock) -> list[AlertOfRow]:
    """Return the alerts of several steps, which `monitor` observes one by one."""
    return [(row, alert) for row in range(len(block)) for alert in monitor.observe(block.step(row))]


class Latch:
    """Converts a condition over many steps into one alert: it rises once, and again after it has cleared."""

    def __init__(self) -> None:
        self.is_up = False
        self.rose_at: int | None = None

    def rises(self, number: int, *, on: bool, off: bool) -> bool:
        """Return whether to alert at step `number`; `off` clears.

        It is False within `LEAST_GAP` steps of the last alert.
        """
        if self.is_up:
            self.is_up = not off
            return False
        if not on or (self.rose_at is not None and self.rose_at <= number < self.rose_at + LEAST_GAP):
            return False
        self.is_up, self.rose_at = True, number
        return True
