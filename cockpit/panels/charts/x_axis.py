"""The horizontal axis of a run's charts: the step, or the epoch or running time that the journal has of each step."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

from cockpit.charts.columns import AxisKind, StepAxis
from cockpit.session.history.progress import StepProgress
from engine.journal.tail import JournalTail

_BUSY_SECONDS: Final = 0.05

KINDS: Final[tuple[AxisKind, ...]] = ("step", "epoch", "time")


class XAxis:
    """The chosen axis of one run's charts. Nothing is read from the journal while it is the step."""

    def __init__(self, kind: AxisKind = "step") -> None:
        self.kind: AxisKind = kind
        self._progress: StepProgress | None = None
        self._run_dir: Path | None = None
        self._read_for = -1
        self._built_for: tuple[AxisKind, int] | None = None
        self._axis: StepAxis | None = None

    def turn(self, run_dir: Path, version: int) -> bool:
        """Choose the next axis that the run has; return whether an axis was left out."""
        at = KINDS.index(self.kind)
        for skipped in range(len(KINDS)):
            self.kind = KINDS[(at + 1 + skipped) % len(KINDS)]
            if self.kind == "step" or self.of(run_dir, version) is not None:
                return skipped > 0
        return False

    def of(self, run_dir: Path, version: int) -> StepAxis | None:
        """Return the axis for a history of that `version`; `None` for the step, and if the run has no other."""
        if self.kind == "step":
            return None
        if self._progress is None or run_dir != self._run_dir:
            self._run_dir, self._read_for, self._built_for = run_dir, -1, None
            self._progress = StepProgress(partial(JournalTail, run_dir, busy_seconds=_BUSY_SECONDS))
        if version != self._read_for:
            self._read_for = version
            self._progress.refresh()
        if self._built_for != (self.kind, self._progress.version):
            self._built_for = (self.kind, self._progress.version)
            self._axis = axis_of(self.kind, self._progress)
        return self._axis


def axis_of(kind: AxisKind, progress: StepProgress) -> StepAxis | None:
    """Return the axis of a run; `None` for the step, and if the run's steps have no such places."""
    if kind == "step":
        return None
    return StepAxis.of(kind, progress.steps, progress.epochs if kind == "epoch" else progress.seconds)
