"""How often the layers of a foreign training are measured."""

from __future__ import annotations

import math
import os
import time
from typing import Final

import torch

VARIABLE: Final = "TRAINING_COCKPIT_LAYERS"
"""Environment variable with the steps between two measurements, 0 for none."""
_EVERY: Final = 50
_MOST_SHARE: Final = 0.001
"""Maximum share of the time that measuring costs the training's thread, unless the interval is chosen."""


def chosen_every() -> int:
    """Return the steps between two measurements that the environment chooses; 50 by default.

    Of several processes only rank 0 measures, as only its numbers are recorded.
    """
    group = torch.distributed
    is_together = group.is_available() and group.is_initialized()
    if (group.get_rank() if is_together else int(os.environ.get("RANK", "0"))) > 0:
        return 0
    return int(os.environ[VARIABLE]) if is_chosen() else _EVERY


def is_chosen() -> bool:
    """Return whether the environment chooses the steps between two measurements."""
    return os.environ.get(VARIABLE, "").isdecimal()


class MeasureInterval:
    """The steps between two measurements, `every`; 0 for never. `cost` are the seconds since the last one.

    With `None` the environment chooses. If it does not, the interval is 50 steps, doubled as often as it takes until
    measuring costs less than a thousandth of the time.
    """

    def __init__(self, every: int | None) -> None:
        self.every = chosen_every() if every is None else every
        self.cost = 0.0
        self._is_sparing = every is None and not is_chosen()
        self._measured_at: tuple[float, int] | None = None

    def fix(self, every: int) -> None:
        """Measure every `every` steps, whatever that costs."""
        self.every, self._is_sparing = every, False

    def space_out(self, num_steps: int) -> None:
        """Choose the interval by what the measurement after `num_steps` steps has cost the training's thread."""
        now, before = (time.perf_counter(), num_steps), self._measured_at
        cost, self.cost, self._measured_at = self.cost, 0.0, now
        if not self._is_sparing or before is None or not self.every:
            return
        seconds = (now[0] - before[0]) / (now[1] - before[1])
        share = cost / max(seconds * self.every, 1e-9)
        if share > _MOST_SHARE:
            self.every *= 2 ** math.ceil(math.log2(share / _MOST_SHARE))
        elif share < _MOST_SHARE / 4 and self.every > _EVERY:
            self.every //= 2
