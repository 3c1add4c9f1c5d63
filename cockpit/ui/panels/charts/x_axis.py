"""The horizontal axis of a run's charts: the step, or the epoch or running time that the journal has of each step."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from cockpit.charts.columns.source import Floats
from cockpit.charts.columns.window import AxisKind, StepAxis
from cockpit.session.history.other_run import OtherRun
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
        self._built_for: tuple[object, ...] = ()
        self._axis: StepAxis | None = None

    def turn(self, run_dir: Path, version: int, parent: tuple[OtherRun, int] | None = None) -> bool:
        """Choose the next axis that the run has; return whether an axis was left out."""
        at = KINDS.index(self.kind)
        for skipped in range(len(KINDS)):
            self.kind = KINDS[(at + 1 + skipped) % len(KINDS)]
            if self.kind == "step" or self.of(run_dir, version, parent) is not None:
                return skipped > 0
        return False

    def of(self, run_dir: Path, version: int, parent: tuple[OtherRun, int] | None = None) -> StepAxis | None:
        """Return the axis for a history of that `version`; `None` for the step, and if the run has no other.

        The axis of a branch begins with the steps of its `parent` up to the given one.
        """
        if self.kind == "step":
            return None
        if self._progress is None or run_dir != self._run_dir:
            self._run_dir, self._read_for, self._built_for = run_dir, -1, ()
            self._progress = StepProgress(partial(JournalTail, run_dir, busy_seconds=_BUSY_SECONDS))
        if version != self._read_for:
            self._read_for = version
            self._progress.refresh()
        if parent is not None and not parent[0].progress.version:
            parent[0].progress.refresh()
        before = None if parent is None else (parent[0].progress, parent[1])
        if self._built_for != (self.kind, self._progress.version, before):
            self._built_for = (self.kind, self._progress.version, before)
            self._axis = axis_of(self.kind, self._progress, before)
        return self._axis


def axis_of(kind: AxisKind, progress: StepProgress, parent: tuple[StepProgress, int] | None = None) -> StepAxis | None:
    """Return the axis of a run; `None` for the step, and if the run's steps have no such places.

    The axis of a branch begins with its parent's steps up to the given one; their times are below 0.
    """
    if kind == "step":
        return None
    steps, places = progress.steps, _places(kind, progress)
    if parent is not None and (count := int(np.searchsorted(parent[0].steps, parent[1], "right"))):
        before = _places(kind, parent[0])[:count]
        places = np.concatenate((before - before[-1] if kind == "time" else before, places))
        steps = np.concatenate((parent[0].steps[:count], steps))
    return StepAxis.of(kind, steps, places)


def _places(kind: AxisKind, progress: StepProgress) -> Floats:
    return progress.epochs if kind == "epoch" else progress.seconds
