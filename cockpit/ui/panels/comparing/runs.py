"""The runs of a comparison: curves, configuration and interventions of each, read without a trace if it is at rest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

from cockpit.charts.columns.window import AxisKind, StepAxis
from cockpit.console.summary import is_intervention
from cockpit.session.history.other_run import OtherRun
from cockpit.session.run_list.facts import present_activity
from cockpit.ui.panels.charts.x_axis import axis_of
from cockpit.ui.panels.records.config_values import ConfigValues
from engine.errors import UserError
from engine.journal.reader import Entry, JournalReader
from engine.journal.task_meta import PARENT, Parent, parent_of
from engine.protocol import events as e
from engine.protocol.events import Activity
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec

KINDS: Final[tuple[AxisKind, ...]] = ("step", "epoch", "samples", "time")


@record
class RunRecords:
    """The records of a run besides its curves: interventions, configuration by dotted key, newest state or `None`.

    `activity` is what the run does now: one whose process is gone has failed, whatever its state says.
    """

    state: RunState | None
    activity: Activity
    spec: TaskSpec
    entries: tuple[Entry, ...]
    config: dict[str, object]
    parent: Parent | None = None

    @property
    def interventions(self) -> tuple[Entry, ...]:
        """Return the outcomes of commands, and what others than the engine did."""
        return tuple(entry for entry in self.entries if is_intervention(entry))


class ComparedRun:
    """One run of a comparison under a name that no other has. Raises UserError if its journal cannot be read."""

    def __init__(self, run_dir: Path, name: str) -> None:
        self.name = name
        self.curves = OtherRun(run_dir)
        self.records = _read(run_dir, at_rest=not self.curves.is_live)
        self._axes: dict[AxisKind, tuple[int, StepAxis | None]] = {}

    def poll(self) -> None:
        """Read what is new."""
        self.curves.poll()

    def reread(self) -> None:
        """Read the records of a live run again."""
        if self.curves.is_live:
            self.records = _read(self.curves.run_dir, at_rest=False)

    def axis(self, kind: AxisKind) -> StepAxis | None:
        """Return the run's axis; `None` for the step, and if the run has no such axis."""
        if kind == "step":
            return None
        version = self.curves.history.version
        if kind not in self._axes or self._axes[kind][0] != version:
            self._axes[kind] = (version, self._new_axis(kind))
        return self._axes[kind][1]

    def has_axis(self, kind: AxisKind) -> bool:
        """Return whether the run's curves can be drawn on that axis."""
        return kind == "step" or self.axis(kind) is not None

    def _new_axis(self, kind: AxisKind) -> StepAxis | None:
        if kind == "samples":
            return samples_axis(self.records, last=self.curves.history.last_step)
        self.curves.progress.refresh()
        return axis_of(kind, self.curves.progress)

    def close(self) -> None:
        """Close the journal."""
        self.curves.close()


def open_runs(directories: Sequence[Path]) -> list[ComparedRun]:
    """Open the runs of a comparison, two or more. Raises UserError if one is named twice or cannot be read."""
    if len({path.resolve() for path in directories}) < len(directories):
        raise UserError("compare names the same run twice")
    if len(directories) < 2:
        raise UserError("compare needs two runs or more")
    names = [path.name for path in directories]
    runs: list[ComparedRun] = []
    try:
        for path, name in zip(directories, names, strict=True):
            runs.append(ComparedRun(path, name if names.count(name) == 1 else str(path)))
            runs[-1].poll()
            if runs[-1].curves.failure:
                raise UserError(runs[-1].curves.failure)
    except UserError:
        for run in runs:
            run.close()
        raise
    return runs


def _read(run_dir: Path, *, at_rest: bool) -> RunRecords:
    with closing(JournalReader(run_dir, at_rest=at_rest)) as reader:
        state, spec = reader.state(), reader.spec()
        entries, parent = tuple(reader.events()), parent_of(reader.meta(PARENT), run_dir)
        activity, _ = present_activity(Activity.STARTING if state is None else state.activity, reader.heartbeat())
    return RunRecords(state, activity, spec, entries, dict(ConfigValues().all(run_dir)), parent)


def samples_axis(records: RunRecords, *, last: int) -> StepAxis | None:
    """Return the number of samples that the updates up to each step saw: batch size times accumulation.

    The smaller last batch of an epoch counts as a whole one. Return `None` if the batch size is unknown.
    """
    batch, accumulation = _at_first(records)
    changes = [(0, batch * accumulation)]
    for entry in records.entries:
        match entry.event:
            case e.RolledBack(after=step):
                changes = [change for change in changes if change[0] <= step]
            case e.BatchSizeSet(after=batch):
                changes.append((entry.step, batch * accumulation))
            case e.AccumulationSet(after=accumulation):
                changes.append((entry.step, batch * accumulation))
            case _:
                pass
    starts = np.array([step for step, _ in changes], np.int64)
    rates = np.array([rate for _, rate in changes], np.float64)
    steps = np.append(starts, max(last, int(starts[-1]) + 1))
    places = np.concatenate(([0.0], np.cumsum(np.diff(steps) * rates)))
    return StepAxis.of("samples", steps, places)


def _at_first(records: RunRecords) -> tuple[int, int]:
    """Return batch size and accumulation before the first change of each."""
    now = (0, 0) if records.state is None else (records.state.batch_size, records.state.accumulation)
    batches = [entry.event.before for entry in records.entries if isinstance(entry.event, e.BatchSizeSet)]
    sums = [entry.event.before for entry in records.entries if isinstance(entry.event, e.AccumulationSet)]
    return (batches or [now[0]])[0], (sums or [now[1]])[0]
