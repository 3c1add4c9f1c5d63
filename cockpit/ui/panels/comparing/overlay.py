"""The curves of several runs as one history: each metric once per run, on a common horizontal axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.chart_specs import Spec, charts_for
from cockpit.charts.columns.source import Columns, Floats
from cockpit.charts.columns.window import AxisKind, StepAxis
from cockpit.console.curves import summary_metrics
from cockpit.ui.panels.comparing.runs import ComparedRun
from engine.protocol.record import record

_UNITS: Final[Mapping[AxisKind, float]] = {"step": 1.0, "epoch": 1000.0, "samples": 1.0, "time": 1000.0}
"""Whole numbers of a view per place on the axis: a view counts in thousandths of epochs and seconds."""
_FAR: Final = 2.0**40
_MARK: Final = "#"


def curve_name(metric: str, number: int) -> str:
    """Return the name of a metric's curve of run `number`, from 0."""
    return f"{metric}{_MARK}{number}"


@record
class OverlaidRuns:
    """Several runs as the source of charts on one axis; positions are whole units of that axis, not steps."""

    runs: Sequence[ComparedRun]
    kind: AxisKind = "step"

    @property
    def axis(self) -> StepAxis | None:
        """Return the axis of the charts, from units to places; `None` for the step."""
        if self.kind == "step":
            return None
        ends = np.array([-_FAR, _FAR])
        return StepAxis(self.kind, ends, ends / _UNITS[self.kind])

    @property
    def names(self) -> tuple[str, ...]:
        """Return the curves of all runs that the axis can show."""
        return tuple(
            curve_name(metric, number)
            for number, run in enumerate(self.runs)
            if run.has_axis(self.kind)
            for metric in run.curves.history.names
        )

    @property
    def version(self) -> int:
        """Return a number that grows with every change of a run."""
        return sum(run.curves.history.version for run in self.runs)

    @property
    def first_step(self) -> int:
        """Return the first unit at which a run has a step."""
        return math.floor(min((self._units(run, run.curves.history.first_step) for run in self._shown()), default=0))

    @property
    def last_step(self) -> int:
        """Return the last unit at which a run has a step; 0 if none has."""
        return math.ceil(max((self._units(run, run.curves.history.last_step) for run in self._shown()), default=0))

    @property
    def loading(self) -> float:
        """Return the share of the journals that was read."""
        return min(run.curves.history.loading for run in self.runs)

    def buckets_of(
        self, names: Sequence[str], *, first: float, last: float, columns: int, edges: Floats | None = None
    ) -> dict[str, Columns]:
        """Return the columns of curves; `edges` are in units of the axis."""
        units = np.linspace(first, last, columns + 1) if edges is None else edges
        wanted: dict[int, list[str]] = {}
        for name in names:
            metric, _, number = name.rpartition(_MARK)
            wanted.setdefault(int(number), []).append(metric)
        found: dict[str, Columns] = {}
        for number, metrics in wanted.items():
            run = self.runs[number]
            axis = run.axis(self.kind)
            steps = units if axis is None else axis.steps(units / _UNITS[self.kind])
            held = run.curves.history.buckets_of(
                metrics, first=float(steps[0]), last=float(steps[-1]), columns=columns, edges=steps
            )
            found |= {curve_name(metric, number): buckets for metric, buckets in held.items()}
        return found

    def rows(self, name: str, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Return the recorded units of a curve from `first` to `last`, and the values."""
        run, metric = self._run(name)
        steps, values = run.curves.history.rows(metric, 0, 2**62)
        axis = run.axis(self.kind)
        units = steps if axis is None else np.rint(axis.places(steps.astype(np.float64)) * _UNITS[self.kind])
        inside = (units >= first) & (units <= last)
        return units[inside].astype(np.int64), values[inside]

    def at(self, name: str, step: int) -> float | None:
        """Return the value of a curve at a unit, or before it; `None` after the end of its run."""
        run, metric = self._run(name)
        axis, history = run.axis(self.kind), run.curves.history
        there = step if axis is None else axis.step(step / _UNITS[self.kind]) + 1e-6
        return None if there >= history.last_step + 1 else history.at(metric, math.floor(there))

    def newest(self, name: str) -> float | None:
        """Return the last value of a curve; `None` if it has none."""
        run, metric = self._run(name)
        return run.curves.history.newest(metric)

    def _run(self, name: str) -> tuple[ComparedRun, str]:
        metric, _, number = name.rpartition(_MARK)
        return self.runs[int(number)], metric

    def _shown(self) -> list[ComparedRun]:
        return [run for run in self.runs if run.curves.history.last_step and run.has_axis(self.kind)]

    def _units(self, run: ComparedRun, step: int) -> float:
        axis = run.axis(self.kind)
        return step if axis is None else axis.place(step) * _UNITS[self.kind]


def metrics_of_runs(runs: Sequence[ComparedRun]) -> tuple[str, ...]:
    """Return every metric of any run, those of the summary first, then the learning rate and the validations."""
    names = dict.fromkeys(name for run in runs for name in run.curves.history.names)
    first = [*dict.fromkeys(metric for run in runs for metric in usual_metrics(run)), "lr"]
    validations = [name for name in names if name.startswith("val/")]
    return tuple(dict.fromkeys(name for name in (*first, *validations, *names) if name in names))


def usual_metrics(run: ComparedRun) -> tuple[str, ...]:
    """Return the metrics that summarise a run."""
    loss, *others = summary_metrics(run.records.spec)
    return (loss, "val/loss", *others)


def spec_of_metric(metric: str, runs: Sequence[ComparedRun]) -> Spec:
    """Return the chart of a metric with one curve per run, drawn like the chart of a single run that has it."""
    usual = next((chart for chart in charts_for(runs[0].records.spec) if metric in chart.metrics), None)
    names = tuple(curve_name(metric, number) for number in range(len(runs)))
    labels = {name: run.name for name, run in zip(names, runs, strict=True)}
    smoothing = 0.8 if metric.startswith(("loss", "grad_norm/")) else 0.0
    if usual is None:
        return Spec("compared", metric, metrics=names, smoothing=smoothing, labels=labels)
    return Spec(
        "compared", metric, metrics=names, log=usual.log, smoothing=usual.smoothing, bounds=usual.bounds, labels=labels
    )
