"""Alert if the threads of a step wait for each other, because other processes use the processors that they need."""

from __future__ import annotations

import statistics
from collections import deque
from typing import Final

from engine.protocol.events import AlertRaised
from engine.supervision.step_metrics import Latch, StepMetrics

BUSY: Final = "busy machine"
_SECONDS: Final = 15.0
"""Seconds of steps on a busy machine until the alert."""
_TOLERATED: Final = 0.3
"""Processors that others may use in addition to those that are free."""
_PACE: Final = 50
"""Steps on a free machine whose median is the run's own pace."""
_SLOWER: Final = 1.3
"""Least factor between the run's own pace and that of the alert."""


class BusyMachineMonitor:
    """Compares the `threads` of a step with the processors that others leave of `cores`.

    If the run's own pace is known from a free machine, only slower steps count. It reads `system/cpu_others`.
    """

    def __init__(self, threads: int, cores: int) -> None:
        self._threads = threads
        self._cores = cores
        self._free: deque[float] = deque(maxlen=_PACE)
        self._busy: deque[float] = deque(maxlen=_PACE)
        self._seconds = 0.0
        self._latch = Latch()

    def observe(self, observed: StepMetrics) -> tuple[AlertRaised, ...]:
        """Return the alert of this step, if any; see `Monitor.observe`."""
        others = observed.metrics.get("system/cpu_others")
        if others is None or self._threads < 2:
            return ()
        used = others / 100 * self._cores
        is_crowded = used + self._threads > self._cores + _TOLERATED
        (self._busy if is_crowded else self._free).append(observed.metrics["samples_per_second"])
        self._seconds = self._seconds + observed.seconds if is_crowded else 0.0
        if not is_crowded:
            self._busy.clear()
        slower = self._slower()
        on = self._seconds >= _SECONDS and (slower is None or slower >= _SLOWER)
        if not self._latch.rises(observed.number, on=on, off=not is_crowded):
            return ()
        return (self._alert(used, slower, observed.number),)

    def _slower(self) -> float | None:
        """Return the factor by which steps are slower than on the free machine, `None` if that is unknown."""
        if len(self._free) < _PACE // 2 or not self._busy:
            return None
        return statistics.median(self._free) / max(statistics.median(self._busy), 1e-9)

    def _alert(self, used: float, slower: float | None, number: int) -> AlertRaised:
        fewer = max(1, min(self._threads - 1, self._cores - round(used)))
        pace = "" if slower is None else f", and steps take {slower:.1f} times as long as before"
        return AlertRaised(
            BUSY,
            f"{self._threads} threads wait for each other: other processes use {used:.1f} of {self._cores} processors"
            f"{pace}",
            f"end them, or stop and --resume with --set training.threads={fewer} (other bits from there on)",
            at_step=number,
        )
