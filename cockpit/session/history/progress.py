"""Epoch and running time of a run's steps, for charts with another horizontal axis than the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import UserError
from engine.journal.tail import JournalTail, Lineage, StepRange

Floats = NDArray[np.float64]

MOST_ROWS: Final = 50_000
"""Rows of one branch that are all read; of a longer branch some, between which epoch and time are interpolated."""
_END: Final = 2**62


class StepProgress:
    """Steps along the lineage with their epochs (fractional) and seconds of running time; empty until `refresh`.

    Running time is the wall time since the start, without the time between two processes that trained the run. Pauses
    and steps that a rollback discarded count. `version` grows with every change.
    """

    def __init__(self, open_tail: Callable[[], JournalTail]) -> None:
        self.version = 0
        self.steps: NDArray[np.int64] = np.zeros(0, np.int64)
        self.epochs: Floats = np.zeros(0)
        self.seconds: Floats = np.zeros(0)
        self._times: Floats = np.zeros(0)
        self._open_tail = open_tail
        self._lineage: Lineage = ()

    def refresh(self) -> None:
        """Read the new steps. A journal that cannot be read leaves what was known."""
        try:
            with closing(self._open_tail()) as tail, tail.snapshot():
                self._read(tail)
        except UserError:
            return

    def _read(self, tail: JournalTail) -> None:
        lineage, before = tail.lineage(), self.steps.size
        if lineage != self._lineage:
            self._lineage, before = lineage, -1
            self.steps, self.epochs, self._times = np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
        known = int(self.steps[-1]) if self.steps.size else -_END
        found: list[tuple[int, float, float]] = []
        for branch, last in lineage[-1:] if self.steps.size else lineage:
            span = StepRange("steps", branch, known + 1, _END if last is None else last)
            rows = tail.progress(span, most=MOST_ROWS) if span.first <= span.last else []
            found += rows
            known = rows[-1][0] if rows else known
        if found:
            steps, epochs, times = zip(*found, strict=True)
            self.steps = np.concatenate((self.steps, np.array(steps, np.int64)))
            self.epochs = np.concatenate((self.epochs, np.array(epochs, np.float64)))
            self._times = np.concatenate((self._times, np.array(times, np.float64)))
        if self.steps.size != before:
            self.seconds = running_time(self._times, tail.sessions())
            self.version += 1


def running_time(times: Floats, sessions: Sequence[tuple[float, float]]) -> Floats:
    """Return the seconds from the run's start to each time, without the time between sessions. Never falls.

    `times` are in seconds since 1970, as are the start and the end of each session.
    """
    if not times.size:
        return times
    starts = np.array([started for started, _ in sessions] or [times[0]])
    ends = np.array([max(pair) for pair in sessions] or [times[-1]])
    starts[0] = min(starts[0], times[0])
    before = np.concatenate(([0.0], np.cumsum(ends - starts)[:-1]))
    at = np.maximum(np.searchsorted(starts, times, "right") - 1, 0)
    return np.maximum.accumulate(before[at] + times - starts[at])
