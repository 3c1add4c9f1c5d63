"""What the best answer that does not look at the image costs: a loss that is not below it has learned nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class LossLevel:
    """What the best blind answer costs in all, the standard error of that, and what uniform probabilities cost."""

    blind: float = math.nan
    error: float = math.nan
    chance: float = math.nan


UNKNOWN: Final = LossLevel()
_GROUPS: Final = 2
"""The fewest groups of samples whose scatter says how certain a level is."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """For each loss term its value for that answer, in several groups of samples: their scatter is its noise.

    `chance` has each term's value at uniform probabilities, where an untrained network begins.
    """

    levels: Mapping[str, tuple[float, ...]]
    chance: Mapping[str, float]

    def covers(self, terms: Iterable[str]) -> bool:
        """Return whether the value of each of `terms` is known, in as many groups as its noise takes."""
        return all(len(self.levels.get(term, ())) >= _GROUPS for term in terms)

    def total(self, weights: Mapping[str, float]) -> LossLevel:
        """The weighted sums of the terms in `weights`; NaN where a term is not known."""
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
