"""What a monitor sees of one step, and what keeps an alert from being raised over and over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from engine.protocol.events import AlertRaised
from engine.protocol.state import RunState

LEAST_GAP = 200
"""Steps that pass at least before an alert that has cleared is raised again."""


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """One step: its number (from 1), metrics by name, the state at its end, and how many seconds it took."""

    number: int
    metrics: Mapping[str, float]
    state: RunState
    seconds: float

    @property
    def is_finite(self) -> bool:
        """Whether the step was, so that its measures say something."""
        return not self.metrics.get("skipped", 0.0)


class Monitor(Protocol):
    """Looks at every step for one kind of trouble."""

    def observe(self, observed: StepMetrics) -> tuple[AlertRaised, ...]:
        """The alerts that this step gives rise to; the same trouble raises no second one before it has cleared."""
        ...

    def reset(self) -> None:
        """The run was steered or rolled back: what was before says little about what follows."""
        ...


class Latch:
    """Turns a condition that holds for many steps into one alert: rises once, and again after it has cleared."""

    def __init__(self) -> None:
        self.is_up = False
        self.rose_at: int | None = None

    def rises(self, number: int, *, on: bool, off: bool) -> bool:
        """Whether to alert at step `number`; `off` clears. Within `LEAST_GAP` steps of the last alert: no."""
        if self.is_up:
            self.is_up = not off
            return False
        if not on or (self.rose_at is not None and self.rose_at <= number < self.rose_at + LEAST_GAP):
            return False
        self.is_up, self.rose_at = True, number
        return True
