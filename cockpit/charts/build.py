"""Build the scene of one chart from a run's history: its window, columns, values and legend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from cockpit.charts.annotations.captions import heat_row, legend_of, tags_of, title_of
from cockpit.charts.annotations.levels import levels_of, placed
from cockpit.charts.chart_specs import Spec, chance_of, is_sparse, letter_of, slot_of
from cockpit.charts.columns.source import Columns, Source
from cockpit.charts.columns.window import ColumnWindow
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.draw.heat import heat_scale, scale_key
from cockpit.charts.draw.layout import Layout
from cockpit.charts.inputs import ChartInputs, Options
from cockpit.charts.scale import Scale
from cockpit.charts.scene import Body, ChartScene, Curve, Heat, LineChart, Pane, Stack
from cockpit.charts.view import whole_run
from engine.protocol.record import record

NO_EDGES: Final = (math.nan, math.nan)


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
        columns = _PlotColumns(feed.source, window, plot.width, per_cell)
        locked = options.locked[min(number, len(options.locked) - 1)] if options.locked else None
        body = _body(spec, options, feed, metrics, columns, locked)
        panes.append(Pane(window, body, feed.marks, feed.view.cursor))
    scene = ChartScene(
        title_of(spec, options, feed, metrics), tuple(panes), tags=tags_of(spec, options, panes, feed, glyphs)
    )
    if feed.source.last_step == 0 or not metrics:
        return replace(scene, note="no values yet")
    if panes and isinstance(heat := panes[0].body, Heat):
        return replace(scene, key=tuple(scale_key(heat.scale, glyphs)))
    return replace(scene, legend=legend_of(spec, feed, metrics))


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
        rows = tuple(heat_row(metric, metrics, feed, found[metric]) for metric in metrics)
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
