"""The published rule of ZClip in plain floats: a contender for spikes, and the reference for the clip on the device."""

from __future__ import annotations

import math

from engine.supervision.median_rule import SpikeScore


class ZScoreRule:
    """ZClip's rule (arXiv 2504.02507): deviations above exponential means of the value and of its variance.

    A value over `limit` enters the means as ZClip clips it, at limit^2 / z deviations.
    """

    def __init__(self, *, decay: float = 0.97, limit: float = 2.5, warmup: int = 25):
        self._decay, self._limit, self._warmup = decay, limit, warmup
        self._count, self._mean, self._variance = 0, 0.0, 0.0

    def read(self, value: float) -> SpikeScore | None:
        """See `SpikeRule.read`."""
        deviation = math.sqrt(self._variance) + 1e-6
        score = (value - self._mean) / deviation
        reading = SpikeScore(value, self._mean, score) if self._count >= self._warmup else None
        if reading and score > self._limit:
            value = self._mean + self._limit**2 / score * deviation
        decay = min(self._decay, self._count / (self._count + 1))
        self._variance = decay * (self._variance + (1 - decay) * (value - self._mean) ** 2)
        self._mean = decay * self._mean + (1 - decay) * value
        self._count += 1
        return reading

    def reset(self) -> None:
        """ZClip knows of no interventions: its means follow."""
