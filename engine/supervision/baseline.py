"""The loss of the best answer that ignores the image: a network above it has learned nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from engine.protocol.record import record


@record
class LossLevel:
    """The total loss of the best blind answer, its standard error, and the loss of uniform probabilities."""

    blind: float = math.nan
    error: float = math.nan
    chance: float = math.nan


UNKNOWN: Final = LossLevel()
_GROUPS: Final = 2
"""Minimum number of groups of samples for a standard error."""


@record
class Baseline:
    """For each loss term its value for the blind answer in several groups of samples. Their scatter is its noise.

    `chance` has each term's value at uniform probabilities, where an untrained network begins.
    """

    levels: Mapping[str, tuple[float, ...]]
    chance: Mapping[str, float]

    def covers(self, terms: Iterable[str]) -> bool:
        """Return whether each of `terms` is known in enough groups for its noise."""
        return all(len(self.levels.get(term, ())) >= _GROUPS for term in terms)

    def total(self, weights: Mapping[str, float]) -> LossLevel:
        """Return the weighted sums of the terms in `weights`; NaN if a term is unknown."""
        groups = [self.levels.get(term, ()) for term in weights]
        count = min((len(group) for group in groups), default=0)
        if count < _GROUPS:
            return UNKNOWN
        sums = [
            math.fsum(weight * group[at] for weight, group in zip(weights.values(), groups, strict=True))
            for at in range(count)
        ]
        mean = math.fsum(sums) / count
        spread = math.fsum((value - mean) ** 2 for value in sums) / (count - 1)
        chance = math.fsum(weight * self.chance.get(term, math.nan) for term, weight in weights.items())
        return LossLevel(mean, math.sqrt(spread / count), chance)
