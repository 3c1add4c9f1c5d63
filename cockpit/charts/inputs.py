"""The inputs that the charts of a run share, and the options of one chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cockpit.charts.annotations.marks import Marks
from cockpit.charts.annotations.past import GRADIENT_BOUND, InForce, Past
from cockpit.charts.chart_specs import Spec
from cockpit.charts.columns.source import Columns, Source
from cockpit.charts.columns.window import ColumnWindow, StepAxis
from cockpit.charts.scale import Scale
from cockpit.charts.view import Extent, View
from engine.protocol.record import record
from engine.protocol.state import RunState


@record
class Underlay:
    """A run whose curves are drawn below those of another: its history, its axis like that of the other, its name.

    A parent has the step `until` which it counts; `None` for a run of its own.
    """

    source: Source
    name: str
    axis: StepAxis | None = None
    until: int | None = None

    def columns_of(self, metrics: Sequence[str], window: ColumnWindow, count: int) -> Mapping[str, Columns]:
        """Return the columns of those of `metrics` that the run has."""
        known = [metric for metric in metrics if metric in self.source.names]
        if not known or (window.axis is not None and self.axis is None):
            return {}
        places = window.places(count)
        edges = places if self.axis is None else self.axis.steps(places)
        if self.until is not None:
            edges = np.minimum(edges, self.until + 1.0)
        if not edges[0] < edges[-1]:
            return {}
        return self.source.buckets_of(known, first=edges[0], last=edges[-1], columns=count, edges=edges)


@record
class ChartInputs:
    """Inputs that all charts share: the history, the visible window, the marks and the reference levels."""

    source: Source
    view: View
    marks: Marks
    chance: Mapping[str, float]
    state: RunState | None = None
    recent: bool = False
    past: Past = ()
    """The settings in force over the run, oldest first. Without them, those of `state` count for the whole run."""
    bound: float = GRADIENT_BOUND
    """The configured bound on the gradient norm."""
    axis: StepAxis | None = None
    """The horizontal axis; `None` for the step."""
    under: tuple[Underlay, ...] = ()
    """Other runs whose curves are drawn below."""

    @property
    def in_force(self) -> Past:
        """Return the settings in force over the run, oldest first."""
        return self.past or (() if self.state is None else (InForce.of(self.state),))

    @property
    def terms(self) -> tuple[str, ...]:
        """Return the loss terms of the run's task."""
        return () if self.state is None else self.state.spec.term_names

    @property
    def extent(self) -> Extent:
        """Return the range of recorded steps, from the first of a parent on."""
        firsts = [under.source.first_step for under in self.under if under.until is not None and under.source.last_step]
        return Extent(min([self.source.first_step, *firsts]), self.source.last_step, self.axis)


@record
class Options:
    """Options of one chart: its metrics (`None` for the default ones), log scale, smoothing, range of each plot.

    `locked` is empty for ranges that follow the values.
    """

    metrics: tuple[str, ...] | None
    log: bool
    smoothing: float
    locked: tuple[Scale, ...] = ()

    @classmethod
    def of(cls, spec: Spec) -> Options:
        """Return the default options of a chart."""
        return cls(None, spec.log, spec.smoothing)
