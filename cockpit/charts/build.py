"""Build the scene of one chart from a run's history: its window, columns, values and legend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from cockpit.charts.annotations.levels import levels_of, placed
from cockpit.charts.annotations.marks import Marks
from cockpit.charts.annotations.past import GRADIENT_BOUND, InForce, Past, at_step
from cockpit.charts.chart_specs import Spec, chance_of, is_sparse, label_of, letter_of, short_label, slot_of
from cockpit.charts.columns import Columns, ColumnWindow, Source, StepAxis
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.draw.heat import heat_scale, scale_key
from cockpit.charts.draw.layout import Layout
from cockpit.charts.inks import Ink
from cockpit.charts.scale import Scale
from cockpit.charts.scene import Body, ChartScene, Curve, Heat, HeatRow, LegendItem, LineChart, Pane, Stack
from cockpit.charts.ticks import compact, narrow
from cockpit.charts.view import Extent, View, whole_run
from engine.protocol.record import record
from engine.protocol.state import RunState

NO_EDGES: Final = (math.nan, math.nan)
_MAX_NAME: Final = 24
"""Most characters of another run's name."""


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


def metrics_of(spec: Spec, options: Options, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the metrics of a chart: the chosen ones that exist, or the default ones."""
    if options.metrics is None:
        return spec.present(names)
    return tuple(name for name in options.metrics if name in names)


def build(spec: Spec, options: Options, feed: ChartInputs, layout: Layout, glyphs: Glyphs) -> ChartScene:
    """Build the scene of a chart. The history is read in as many columns as the plots have."""
    metrics = metrics_of(spec, options, feed.source.names)
    per_cell = glyphs.across if spec.kind == "lines" else 1
    panes: list[Pane] = []
    for number, (plot, window) in enumerate(zip(layout.plots, _windows(feed, layout, glyphs), strict=False)):
        columns = _PlotColumns(feed.source, window, plot.width, per_cell, layout.gutter)
        locked = options.locked[min(number, len(options.locked) - 1)] if options.locked else None
        body = _body(spec, options, feed, metrics, columns, locked)
        panes.append(Pane(window, body, feed.marks, feed.view.cursor))
    scene = ChartScene(_title(spec, options, feed, metrics), tuple(panes), tags=_tags(spec, options, panes, feed))
    if feed.source.last_step == 0 or not metrics:
        return replace(scene, note="no values yet")
    if panes and isinstance(heat := panes[0].body, Heat):
        return replace(scene, key=tuple(scale_key(heat.scale, glyphs)))
    return replace(scene, legend=_legend(spec, feed, metrics))


def _windows(feed: ChartInputs, layout: Layout, glyphs: Glyphs) -> list[ColumnWindow]:
    """Return the shown steps and the newest ones at one step per dot; only the latter if one plot fits."""
    shown = feed.view.shown(feed.extent)
    if not feed.recent or not layout.plots:
        return [shown]
    dots = max(layout.plots[-1].width * glyphs.across, 1)
    everything = whole_run(feed.extent)
    end = feed.extent.last + 1.0
    recent = ColumnWindow(end - dots, end, feed.axis) if dots < everything.span else everything
    return [shown, recent] if len(layout.plots) == 2 else [recent]


@record
class _PlotColumns:
    """The columns of one plot, fetched for all of its metrics together."""

    source: Source
    window: ColumnWindow
    width: int
    per_cell: int
    gutter: int

    @property
    def count(self) -> int:
        """Return the number of columns."""
        return self.width * self.per_cell

    def of(self, metrics: Sequence[str]) -> Mapping[str, Columns]:
        first, last, edges = self.window.first, self.window.end, self.window.edges(self.count)
        return self.source.buckets_of(metrics, first=first, last=last, columns=self.count, edges=edges)


def _body(
    spec: Spec,
    options: Options,
    feed: ChartInputs,
    metrics: tuple[str, ...],
    columns: _PlotColumns,
    locked: Scale | None,
) -> Body:
    if not columns.count:
        return LineChart(())
    found = columns.of(metrics)
    if spec.kind == "heat":
        labels = [_heat_label(metric, metrics, feed, columns.gutter - 1) for metric in metrics]
        rows = tuple(HeatRow(label, found[metric]) for label, metric in zip(labels, metrics, strict=True))
        return Heat(rows, locked or heat_scale([row.columns for row in rows], columns.count))
    curves = tuple(
        Curve(
            letter_of(slot_of(metric, position, feed.terms)),
            slot_of(metric, position, feed.terms),
            found[metric],
            sparse=is_sparse(metric),
            chance=chance_of(metric, feed.chance),
            edges=_edges(columns.source, metric, columns.window) if is_sparse(metric) else NO_EDGES,
        )
        for position, metric in enumerate(metrics)
    )
    if spec.kind == "stack":
        return Stack(curves)
    placed_levels = (
        placed(level, columns.window, columns.width)
        for level in levels_of(spec, metrics, feed.in_force, feed.chance, feed.bound)
    )
    levels = tuple(level for level in placed_levels if level is not None)
    under = _under(feed, metrics, columns) if feed.under else ()
    return LineChart(curves, levels, options.log, options.smoothing, spec.bounds, locked, under)


def _under(feed: ChartInputs, metrics: tuple[str, ...], columns: _PlotColumns) -> tuple[Curve, ...]:
    """Return the curves of other runs, in the colours of the chart's own."""
    slots = {metric: slot_of(metric, position, feed.terms) for position, metric in enumerate(metrics)}
    return tuple(
        Curve(letter_of(slots[metric]), slots[metric], found, sparse=is_sparse(metric))
        for under in feed.under
        for metric, found in under.columns_of(metrics, columns.window, columns.count).items()
    )


def _value(feed: ChartInputs, metric: str) -> float | None:
    cursor = feed.view.cursor
    return feed.source.newest(metric) if cursor is None else feed.source.at(metric, cursor)


def _heat_label(metric: str, metrics: tuple[str, ...], feed: ChartInputs, width: int) -> str:
    """Return a module's name and value if both fit, else the name, shortened if needed."""
    labels = [label_of(other, metrics) for other in metrics]
    name, value = label_of(metric, metrics), _value(feed, metric)
    short = short_label(name, labels)
    shown = "" if value is None else narrow(value, 6)
    room = width - 7
    fitting = next((text for text in (name, short) if len(text) <= room), None)
    if fitting is not None:
        return f"{fitting:<{room}} {shown:>6}"
    return name if len(name) <= width else short


def _legend(spec: Spec, feed: ChartInputs, metrics: tuple[str, ...]) -> tuple[LegendItem, ...]:
    values = {metric: _value(feed, metric) for metric in metrics}
    total = sum(abs(value) for value in values.values() if value is not None and math.isfinite(value))
    items: list[LegendItem] = []
    labels = [spec.label(metric, metrics) for metric in metrics]
    for position, (metric, value) in enumerate(values.items()):
        slot = slot_of(metric, position, feed.terms)
        chance = _chance(spec, feed, metric)
        shown = "-" if value is None else narrow(value)
        if spec.kind == "stack" and value is not None and math.isfinite(value) and total > 0:
            shown = f"{abs(value) / total:.1%}"
        label = labels[position]
        known = "" if chance is None else narrow(chance)
        items.append(LegendItem(letter_of(slot), slot, label, shown, known, short_label(label, labels)))
    return tuple(items)


def _chance(spec: Spec, feed: ChartInputs, metric: str) -> float | None:
    if metric == "loss/total":
        cursor = feed.view.cursor
        then = at_step(feed.in_force, feed.extent.last if cursor is None else cursor)
        return None if then is None else then.total_chance(feed.chance)
    return chance_of(metric, feed.chance) if spec.kind == "lines" else None


def _edges(source: Source, metric: str, window: ColumnWindow) -> tuple[float, float]:
    """Return a sparse metric's values at the first and last step of the window; NaN outside its points."""
    steps, values = source.rows(metric, source.first_step, source.last_step)
    finite = np.isfinite(values)
    known, heights = steps[finite], values[finite]
    if not known.size:
        return math.nan, math.nan
    known = known if window.axis is None else window.axis.places(known.astype(np.float64))
    left, right = np.interp(window.limits, known, heights, left=np.nan, right=np.nan)
    return float(left), float(right)


def _title(spec: Spec, options: Options, feed: ChartInputs, metrics: tuple[str, ...]) -> str:
    if options.metrics is not None and metrics:
        return ", ".join(metrics)
    has_levels = spec.kind == "lines" and any(chance_of(metric, feed.chance) is not None for metric in metrics)
    return f"{spec.title} / chance level" if has_levels else spec.title


def _tags(spec: Spec, options: Options, panes: list[Pane], feed: ChartInputs) -> tuple[str, ...]:
    """Return the tags of a chart, those that are dropped first for lack of room at the beginning."""
    body = panes[0].body if panes else None
    tags: list[str] = []
    if isinstance(body, LineChart):
        tags += [f"below {_shortened(under.name)}" for under in feed.under if body.under]
        tags += [level.text for level in body.levels if level.ink != Ink.CHANCE]
    if feed.axis is not None:
        tags.append(feed.axis.kind)
    if spec.kind == "lines" and options.smoothing:
        tags.append(f"smooth {compact(options.smoothing)}")
    if spec.kind == "lines" and options.log:
        tags.append("log")
    if options.locked and not isinstance(body, Stack):
        tags.append("y locked")
    if feed.recent and panes:
        tags.append(f"newest {round(panes[-1].window.span)} steps")
    return tuple(tags)


def _shortened(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 3]}..."
