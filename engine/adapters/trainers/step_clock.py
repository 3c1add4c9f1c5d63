"""Durations of a trainer's steps: computing, and waiting for data."""

from __future__ import annotations

import time


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
