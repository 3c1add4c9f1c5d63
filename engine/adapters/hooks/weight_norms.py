"""Norms of the weights by part, read as often as it costs little."""

from __future__ import annotations

import time
from typing import Final

from .gradients.gradient_norms import combined
from .optimizer_hooks import OptimizerHooks

_COST: Final = 1000
"""The norms are read again after this many times the seconds that reading them took."""


class WeightNorms:
    """Reads the norms of the weights of watched optimizers, where these are in host memory."""

    def __init__(self) -> None:
        self.newest: dict[str, float] = {}
        self.due = 0.0
        """When new ones are read, by the clock `perf_counter`."""

    def read(self, hooks: OptimizerHooks, now: float | None = None) -> dict[str, float]:
        """Return the L2 norm of the weights of each part: the last ones, unless new ones cost little now."""
        if now is None:
            now = time.perf_counter()
        if now < self.due:
            return self.newest
        found = combined(reader.weight_norms() for reader in hooks.readers if reader.refresh())
        done = time.perf_counter()
        self.newest, self.due = found, done + _COST * (done - now)
        return found
