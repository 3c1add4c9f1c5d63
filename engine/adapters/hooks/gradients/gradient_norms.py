"""Norms of gradients, and their sums by part of the network.

Shapes: G parameters with a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(slots=True)
class Norms:
    """Sums of squares that together are those of G gradients. `part_of` has the part of the network for each.

    `late` are norms, (G,) float32, that are still on a device; there are no sums then.
    """

    squares: Sequence[float] = ()
    total: float = 0.0
    bad: tuple[str, ...] = ()
    part_of: Sequence[str] = field(default_factory=tuple)
    late: Tensor | None = None

    def arrived(self, norms: Sequence[float], divisor: float = 1.0) -> Norms:
        """Return the norms on the host; gradients are `divisor` times what they mean."""
        squares = [(norm / divisor) ** 2 for norm in norms]
        return Norms(squares, math.sqrt(sum(squares)), (), self.part_of)

    def by_part(self) -> dict[str, float]:
        """Return the gradient norm of each part."""
        sums: dict[str, float] = {}
        for part, square in zip(self.part_of, self.squares, strict=True):
            sums[part] = sums.get(part, 0.0) + square
        return {part: math.sqrt(square) if square >= 0 else math.nan for part, square in sums.items()}


def part_norms(updates: Iterable[Norms]) -> dict[str, float]:
    """Return the gradient norm of each part over the updates of a step."""
    return combined(map(Norms.by_part, updates))


def combined(norms: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the norm of each part over several sets of tensors."""
    found: dict[str, float] = {}
    for one in norms:
        for part, norm in one.items():
            found[part] = math.hypot(found.get(part, 0.0), norm)
    return found
