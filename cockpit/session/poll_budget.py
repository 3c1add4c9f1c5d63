"""Limit the processor time of polls: the screen shares the interpreter with the training."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

CPU_SHARE: Final = 0.05
"""What looking and drawing may take of a core; what keys ask for comes on top."""

LONGEST: Final = 1.0
"""Seconds after which the screen looks again, whatever it costs; seconds of its share that are saved up at most."""

_A_LOOK: Final = 0.005
"""CPU seconds that are left for the next look by what is drawn between looks."""


class PollBudget:
    """Asked at every tick of the screen's timer. `cpu` tells the seconds that the calling thread has computed.

    An unused share is saved for up to a second, so that a run with rare steps is drawn immediately.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, cpu: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock = clock
        self._cpu = cpu
        self._counted_at, self._cpu_then = clock(), cpu()
        self._looked_at = self._counted_at - LONGEST
        self._left = CPU_SHARE * LONGEST

    def is_due(self, *, urgent: bool = False) -> bool:
        """Return whether to poll now: some of the share is left, or it is `urgent`."""
        left, now = self._count(), self._clock()
        if not urgent and left < 0 and now - self._looked_at < LONGEST:
            return False
        self._looked_at = now
        return True

    def due_in(self) -> float:
        """Return the seconds until the next poll is due, 0 if it is due now."""
        return min(max(-self._count() / CPU_SHARE, 0.0), max(self._looked_at + LONGEST - self._clock(), 0.0))

    def has_time(self) -> bool:
        """Return whether more may be drawn now without delaying the next poll."""
        return self._count() >= _A_LOOK

    def _count(self) -> float:
        """Return the unused share in CPU seconds; a deficit is forgotten after a second."""
        now, cpu = self._clock(), self._cpu()
        most = CPU_SHARE * LONGEST
        left = self._left + CPU_SHARE * (now - self._counted_at) - (cpu - self._cpu_then)
        self._counted_at, self._cpu_then, self._left = now, cpu, min(max(left, -most), most)
        return self._left
