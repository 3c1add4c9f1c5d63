"""The runs whose curves lie below those of a screen's run: the parent of a branch, and a baseline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cockpit.charts.columns.window import AxisKind, StepAxis
from cockpit.charts.inputs import Underlay
from cockpit.session.history.other_run import OtherRun
from cockpit.ui.panels.charts.x_axis import axis_of
from engine.errors import UserError
from engine.journal.disk.run_dir import has_journal
from engine.journal.task_meta import Parent


class Underlays:
    """Opens the other runs when they are first drawn. A run whose journal is gone or damaged is left out."""

    def __init__(self, baseline: Path | None = None) -> None:
        self.is_on = True
        self._baseline = baseline
        self._parent: Parent | None = None
        self._open: dict[Path, OtherRun | None] = {}
        self._axes: dict[Path, tuple[tuple[AxisKind, int], StepAxis | None]] = {}

    def turn(self) -> bool:
        """Show the curves or hide them; return whether there are any."""
        self.is_on = not self.is_on
        return self._baseline is not None or self._parent is not None

    def parent_of(self, run_dir: Path, parent: Parent | None) -> tuple[OtherRun, int] | None:
        """Return the parent of the branch in `run_dir` with its last step that counts; `None` without one."""
        self._parent = parent
        if parent is None or not self.is_on:
            return None
        other = self._run(parent.path(run_dir))
        return other and (other, parent.step)

    def of(self, parent: tuple[OtherRun, int] | None, kind: AxisKind) -> tuple[Underlay, ...]:
        """Return the underlays on an axis; new rows of their runs are read. The parent is on the axis of its branch."""
        return tuple(self._found(parent, kind)) if self.is_on else ()

    def close(self) -> None:
        """Close the journals."""
        for other in filter(None, self._open.values()):
            other.close()
        self._open.clear()

    def _found(self, parent: tuple[OtherRun, int] | None, kind: AxisKind) -> Iterator[Underlay]:
        if self._baseline is not None and (other := self._run(self._baseline)) is not None:
            other.poll()
            yield Underlay(other.history, other.name, self._axis(other, kind))
        if parent is not None:
            other, step = parent
            other.poll()
            yield Underlay(other.history, other.name, until=step)

    def _run(self, run_dir: Path) -> OtherRun | None:
        if run_dir not in self._open:
            self._open[run_dir] = _opened(run_dir)
        return self._open[run_dir]

    def _axis(self, other: OtherRun, kind: AxisKind) -> StepAxis | None:
        """Return the axis of a run, built again only for new steps."""
        if kind == "step":
            return None
        key = (kind, other.history.version)
        held = self._axes.get(other.run_dir)
        if held is None or held[0] != key:
            other.progress.refresh()
            held = self._axes[other.run_dir] = (key, axis_of(kind, other.progress))
        return held[1]


def _opened(run_dir: Path) -> OtherRun | None:
    try:
        return OtherRun(run_dir) if has_journal(run_dir) else None
    except UserError:
        return None
