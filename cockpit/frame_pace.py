"""When the screen may look at the run again: it shares the interpreter with the training and must stay cheap."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

CPU_SHARE: Final = 0.06
"""What looking and drawing may take of a core; what keys ask for comes on top."""

LONGEST: Final = 1.0
"""Seconds after which the screen looks again, whatever it costs."""


class FramePace:
    """Asked at every tick of the screen's timer. `cpu` tells the seconds that the calling thread has computed."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock = clock
        self._cpu = cpu
        self._looked_at = -LONGEST
        self._cpu_then = cpu()

    def is_due(self, *, urgent: bool = False) -> bool:
        """Whether to look now: what the last look and its drawing cost has been waited for, or it is `urgent`."""
        now, cpu = self._clock(), self._cpu()
        wanted = min((cpu - self._cpu_then) / CPU_SHARE, LONGEST)
        if not urgent and now - self._looked_at < wanted:
            return False
        self._looked_at, self._cpu_then = now, cpu
        return True
