"""Detect a slow rank of a distributed training: all others wait for it at every step."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Final

from engine.protocol.events import AlertRaised
from engine.supervision.step_metrics import Latch

_KEPT: Final = 0.95
"""Weight of the earlier steps in a rank's mean time."""
_LEAST_STEPS: Final = 30
_LEAST_SECONDS: Final = 0.01
"""Differences below this are noise."""


class StragglerMonitor:
    """Compares the own time of each rank in a step with the median of the others', as exponential means.

    A rank is slow above `factor` times that, and no longer when it is halfway back. Steps whose shares of the samples
    differ by more do not count: there a rank has more to do.
    """

    def __init__(self, world: int, factor: float) -> None:
        self._factor = factor
        self._seconds, self._waits = [0.0] * world, [0.0] * world
        self._latches = [Latch() for _ in range(world)]
        self._count = 0

    def observe(
        self, number: int, seconds: Sequence[float], waits: Sequence[float], batches: Sequence[int]
    ) -> tuple[AlertRaised, ...]:
        """Return alerts for the ranks that have become slow at step `number`, from each rank's times in it.

        `batches` are the numbers of samples of the step's batches, each of which is divided over the ranks.
        """
        world = len(seconds)
        smallest, largest = sum(size // world for size in batches), sum(-(-size // world) for size in batches)
        if largest > self._factor * smallest:
            return ()
        self._count += 1
        kept = min(_KEPT, 1 - 1 / self._count)
        for means, values in ((self._seconds, seconds), (self._waits, waits)):
            means[:] = [kept * mean + (1 - kept) * value for mean, value in zip(means, values, strict=True)]
        if self._count < _LEAST_STEPS:
            return ()
        return tuple(alert for rank in range(len(seconds)) for alert in self._look_at(number, rank))

    def _look_at(self, number: int, rank: int) -> tuple[AlertRaised, ...]:
        own = self._seconds[rank]
        usual = median(self._seconds[:rank] + self._seconds[rank + 1 :])
        is_slow = own > self._factor * usual and own - usual > _LEAST_SECONDS
        is_well = own < (1 + self._factor) / 2 * usual
        if not self._latches[rank].rises(number, on=is_slow, off=is_well):
            return ()
        wait = self._waits[rank]
        cause = f", {wait:.3f} s of them waiting for data" if wait > 0.1 * own else ""
        message = (
            f"rank {rank} is slow: it takes {own:.3f} s for its part of a step{cause}, the other ranks {usual:.3f} s "
            "(median), and all wait for it"
        )
        remedy = "look for another program on its machine, a slower disk, or fewer cores; data.num_workers may help"
        return (AlertRaised("slow rank", message, remedy, at_step=number),)
