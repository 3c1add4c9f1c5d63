"""Durations of a trainer's steps: computing, and waiting for data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

from engine.adapters.hooks.optimizer_hooks import OptimizerHooks

_WEIGHTS_COST: Final = 200
"""Norms of the weights are read again after this many times the seconds that reading them takes."""


class StepClock:
    """Measures one step of several batches. Evaluation and saving between two steps do not count."""

    def __init__(self) -> None:
        self.samples = 0
        self.wait = 0.0
        self._computing = 0.0
        self._mark = self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """The duration of the step so far."""
        return max(self.wait + self._computing, 1e-9)

    def mark(self) -> None:
        """Note that what follows is a wait for data."""
        self._mark = time.perf_counter()

    def begin_batch(self) -> None:
        """Note that a batch has arrived."""
        self._began = time.perf_counter()
        self.wait += self._began - self._mark

    def end_batch(self, samples: int) -> None:
        """Note that a batch of `samples` was computed."""
        self._mark = time.perf_counter()
        self._computing += self._mark - self._began
        self._began = self._mark
        self.samples += samples

    def restart(self) -> None:
        """Begin with the next step."""
        self.samples = 0
        self.wait = self._computing = 0.0
        self._mark = self._began = time.perf_counter()


class WeightNorms:
    """The norms of the weights by part, read again when that costs little at the rate of the steps."""

    def __init__(self) -> None:
        self._newest: dict[str, float] = {}
        self._due = 0.0

    def norms(self, hooks: OptimizerHooks) -> dict[str, float]:
        """Return the norms, the last ones unless new ones are due."""
        now = time.perf_counter()
        if now >= self._due:
            self._newest = hooks.weight_norms()
            done = time.perf_counter()
            self._due = done + _WEIGHTS_COST * (done - now)
        return self._newest


# `Any`: a batch is whatever the user's loader yields.
def num_samples(batch: Any) -> int:
    """Return the number of samples in a batch: the length of its first tensor; 0 if unknown."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 0
    if isinstance(batch, Mapping):
        return next((count for value in batch.values() if (count := num_samples(value))), 0)
    if isinstance(batch, list | tuple):
        return next((count for value in batch if (count := num_samples(value))), 0)
    return 0
