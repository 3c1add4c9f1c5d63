"""The input of a monitor at one step, and a latch that prevents repeated alerts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from engine.protocol.events import AlertRaised
from engine.protocol.state import RunState

LEAST_GAP = 200
"""Minimum steps until an alert that has cleared is raised again."""


@dataclass(frozen=True, slots=True)
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


class Monitor(Protocol):
    """Checks every step for one kind of problem."""

    def observe(self, observed: StepMetrics) -> tuple[AlertRaised, ...]:
        """Return the alerts of this step. A problem raises no second alert before it has cleared."""
        ...

    def reset(self) -> None:
        """Forget the history after an intervention or a rollback."""
        ...


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
