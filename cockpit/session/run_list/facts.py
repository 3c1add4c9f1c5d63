"""What a list of runs shows of one run: its facts, what it does at present, and a curve in few points."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

from cockpit.session.activity.activity_text import OVER
from engine.journal.sessions import WriterSession
from engine.protocol.events import Activity
from engine.protocol.record import record

STOPPED: Final = "stopped"
"""The state in a list of a run that a command ended; its activity is 'finished'."""


@record
class RunFacts:
    """The facts of one run: its state, its newest session, its origin, and the curve of its newest losses.

    Times are in seconds since 1970, 0 if unknown. `curve` has `None` where a step was not finite. `program` is that of
    an attached run, otherwise an empty string. `is_stopped`: a command ended the run. `parent` is the run and the step
    that it continues.
    """

    activity: str = Activity.STARTING.value
    step: int = 0
    total_steps: int = 0
    epoch: int = 0
    phase: int = 0
    loss: float | None = None
    grad_norm: float | None = None
    lr: float = 0.0
    score: float | None = None
    best: float | None = None
    lower_is_better: bool = False
    skipped: int = 0
    spikes: int = 0
    alerts: int = 0
    task: str = ""
    program: str = ""
    is_stopped: bool = False
    parent: tuple[str, int] | None = None
    began: float = 0.0
    session: tuple[int, float, float | None, float, int, str, int] | None = None
    curve: tuple[float | None, ...] = ()

    @property
    def writer(self) -> WriterSession | None:
        """The newest session; `None` if no process ever wrote the run."""
        return None if self.session is None else WriterSession(*self.session)

    @property
    def ended(self) -> float:
        """The end of the newest session; 0 while it lasts, its last heartbeat if it was killed."""
        writer = self.writer
        if writer is None:
            return 0.0
        if writer.ended is not None:
            return writer.ended
        return 0.0 if writer.is_alive() else writer.heartbeat


def present_activity(recorded: Activity, session: WriterSession | None) -> tuple[Activity, str]:
    """Return what a run does now, and the reason if that differs from what it recorded, else an empty string.

    A run whose process has disappeared has failed. A silent one keeps its activity.
    """
    if recorded in OVER or session is None or session.is_alive():
        return recorded, ""
    if session.ended is not None:
        return Activity.FAILED, f"process {session.pid} left without finishing the run"
    if not session.process_exists():
        return Activity.FAILED, f"process {session.pid} is gone without a word"
    return recorded, f"process {session.pid} has been silent for {session.age:.0f} s"


def points_of(values: Sequence[float], count: int) -> Iterable[float | None]:
    """Yield at most `count` points for `values`, in four digits: the (upper) median of each of equal groups.

    A group with a non-finite value gives `None`.
    """
    size = max(math.ceil(len(values) / count), 1)
    for start in range(0, len(values), size):
        group = values[start : start + size]
        yield float(f"{sorted(group)[len(group) // 2]:.4g}") if all(map(math.isfinite, group)) else None
