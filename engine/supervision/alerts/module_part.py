"""The history of one part's gradient norm, and its open alerts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.protocol.record import record
from engine.supervision.step_metrics import Latch

FAST, SLOW = 0.1, 0.002
"""Weights of the newest logarithm in the means over about 10 steps and about 500 steps (the history)."""
HISTORY = 100
"""Minimum steps until a part's history is independent of its start."""
NOTHING = 1e-12


@dataclass(slots=True)
class Part:
    """Running means of the logarithm of one part's gradient norm, and its consecutive steps without gradient."""

    fast: float = 0.0
    slow: float = 0.0
    count: int = 0
    idle: int = 0
    weight_at_first: float = 0.0
    dead: Latch = field(default_factory=Latch)
    exploding: Latch = field(default_factory=Latch)
    vanishing: Latch = field(default_factory=Latch)
    swelling: Latch = field(default_factory=Latch)

    def take(self, norm: float) -> None:
        """Add one finite gradient norm."""
        if norm <= NOTHING:
            self.idle += 1
            return
        self.idle = 0
        level = math.log(norm)
        self.count += 1
        self.fast += max(FAST, 1 / self.count) * (level - self.fast)
        self.slow += max(SLOW, 1 / self.count) * (level - self.slow)

    @property
    def latches(self) -> tuple[Latch, ...]:
        """The kinds of alerts."""
        return self.dead, self.exploding, self.vanishing, self.swelling

    def ails(self, num_steps: int) -> Iterator[str]:
        """Yield the part's current problems. Without a gradient for `num_steps` steps it is dead."""
        if self.dead.is_up or self.idle >= num_steps:
            yield "dead"
        if self.exploding.is_up or self.swelling.is_up:
            yield "exploding"
        if self.vanishing.is_up:
            yield "vanishing"

    def memory(self) -> PartMemory:
        """Return the memory for a checkpoint; the step of a latch that never rose is -1."""
        up = tuple(latch.is_up for latch in self.latches)
        rose_at = tuple(-1 if latch.rose_at is None else latch.rose_at for latch in self.latches)
        return PartMemory(self.fast, self.slow, self.count, self.idle, self.weight_at_first, up, rose_at)

    @classmethod
    def of(cls, kept: PartMemory) -> Part:
        """Return the part that `kept` describes."""
        part = cls(kept.fast, kept.slow, kept.count, kept.idle, kept.weight_at_first)
        for latch, is_up, rose_at in zip(part.latches, kept.up, kept.rose_at, strict=False):
            latch.is_up, latch.rose_at = is_up, None if rose_at < 0 else rose_at
        return part

    def forget(self) -> None:
        """Forget the history."""
        self.fast, self.slow, self.count, self.idle, self.weight_at_first = 0.0, 0.0, 0, 0, 0.0


@record
class PartMemory:
    """One part in a checkpoint: means and counts, and for each kind of alert whether it is raised, and since when."""

    fast: float
    slow: float
    count: int
    idle: int
    weight_at_first: float
    up: tuple[bool, ...]
    rose_at: tuple[int, ...]
