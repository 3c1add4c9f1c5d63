"""A step on its way to the device: what the host knows of it, and the time since the step before."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import field

from engine.forensics.capture import Evidence
from engine.outputs.step_time import TIME
from engine.protocol.record import record
from engine.runtime.checkpointer import Checkpointer
from engine.training.device import PartTimer
from engine.training.gradients.step_report import PendingReport


@record
class Launched:
    """A step whose report may still be in transit from the device, and its data known to the host.

    `wait_seconds` is the time spent waiting for data, `seconds` the total time. `times` divides the time since the step
    before, with the validation and the checkpoints between the two. `memory` are measurements of the device's
    memory, `by_rank` those of each rank, and `evidence_of` returns the evidence of another rank, or `None`.
    """

    pending: PendingReport
    evidence: Evidence
    progress: float
    num_samples: int
    wait_seconds: float
    seconds: float
    times: BetweenSteps
    memory: Mapping[str, float] = field(default_factory=dict[str, float])
    by_rank: Mapping[str, float] = field(default_factory=dict[str, float])
    evidence_of: Callable[[int], Evidence | None] = lambda rank: None

    def parts(self) -> dict[str, float]:
        """Return the seconds of each part of the time since the step before, by metric; the report must be resolved."""
        times = self.times
        known = {**self.pending.seconds(), **(times.transfer.seconds() if times.transfer else {})}
        known |= {"data_wait": self.wait_seconds, "validation": times.validation, "checkpoint": times.checkpoint}
        known["other"] = max(times.whole - sum(known.values()), 0.0)
        return {TIME + part: seconds for part, seconds in known.items()}


@record
class BetweenSteps:
    """Seconds since the end of the step before: in all, and of what the loop does; and the copies to the device."""

    whole: float
    validation: float
    checkpoint: float
    transfer: PartTimer | None


class StepTimes:
    """Measures the time from step to step; `validation` counts the seconds of validations since the last step."""

    def __init__(self, checkpointer: Checkpointer) -> None:
        self.validation = 0.0
        self._checkpointer = checkpointer
        self.restart()

    def restart(self) -> None:
        """Leave the time until now out of the next step: that of a pause."""
        self.restart_pace()
        self.skip()

    def restart_pace(self) -> None:
        """Leave the time until now out of the pace of the next step: that of an epoch's end."""
        self._last_end = time.perf_counter()

    def skip(self) -> None:
        """Leave the time until now out of the parts of the next step: that of commands."""
        self._began, self._spent = time.perf_counter(), self._checkpointer.spent

    def launched(
        self,
        pending: PendingReport,
        evidence: Evidence,
        *,
        progress: float,
        transfer: PartTimer | None,
        memory: Mapping[str, float],
    ) -> Launched:
        """Return the step that ends now, and begin the times of the next one."""
        now = time.perf_counter()
        launched = Launched(
            pending=pending,
            evidence=evidence,
            progress=progress,
            num_samples=sum(batch.total for batch in evidence.batches),
            wait_seconds=sum(batch.wait_seconds for batch in evidence.batches),
            seconds=max(now - self._last_end, 1e-9),
            times=self._take(now, transfer),
            memory=memory,
        )
        self._last_end = now
        return launched

    def _take(self, now: float, transfer: PartTimer | None) -> BetweenSteps:
        spent = self._checkpointer.spent
        times = BetweenSteps(now - self._began, self.validation, spent - self._spent, transfer)
        self.validation, self._began, self._spent = 0.0, now, spent
        return times
