"""Texts of a chart: its title, its tags, its legend, and the names and values of a heat map's rows."""

from __future__ import annotations

import math
from typing import Final

from cockpit.charts.annotations.past import at_step
from cockpit.charts.chart_specs import Spec, chance_of, label_of, letter_of, short_label, slot_of
from cockpit.charts.columns.source import Columns
from cockpit.charts.draw.canvas import in_cells
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.inks import Ink
from cockpit.charts.inputs import ChartInputs, Options
from cockpit.charts.scene import HeatRow, LegendItem, LineChart, Pane, Stack
from cockpit.charts.ticks import compact, narrow

_MAX_NAME: Final = 24
"""Most characters of another run's name."""


def _value(feed: ChartInputs, metric: str) -> float | None:
    cursor = feed.view.cursor
    return feed.source.newest(metric) if cursor is None else feed.source.at(metric, cursor)


def heat_row(metric: str, metrics: tuple[str, ...], feed: ChartInputs, columns: Columns) -> HeatRow:
    """Return the row of a module with its value at the cursor, or its newest one."""
    labels = [in_cells(label_of(other, metrics)) for other in metrics]
    name, value = in_cells(label_of(metric, metrics)), _value(feed, metric)
    return HeatRow(name, columns, short_label(name, labels), "" if value is None else narrow(value, 6))


def legend_of(spec: Spec, feed: ChartInputs, metrics: tuple[str, ...]) -> tuple[LegendItem, ...]:
    """Return the legend: each curve with its value at the cursor, or its newest one."""
    values = {metric: _value(feed, metric) for metric in metrics}
    total = sum(abs(value) for value in values.values() if value is not None and math.isfinite(value))
    items: list[LegendItem] = []
    labels = [in_cells(spec.label(metric, metrics)) for metric in metrics]
    for position, (metric, value) in enumerate(values.items()):
        slot = slot_of(metric, position, feed.terms)
        chance = _chance(spec, feed, metric)
        shown = (spec.kind == "stack" and _share(value, total)) or ("-" if value is None else narrow(value))
        label = labels[position]
        known = "" if chance is None else narrow(chance)
        items.append(LegendItem(letter_of(slot), slot, label, shown, known, short_label(label, labels)))
    return tuple(items)


def _share(value: float | None, total: float) -> str:
    """Return the share of a stacked curve; empty string for one without a finite value."""
    return f"{100 * (abs(value) / total):.1f} %" if value is not None and math.isfinite(value) and total > 0 else ""


def _chance(spec: Spec, feed: ChartInputs, metric: str) -> float | None:
    if metric == "loss/total":
        cursor = feed.view.cursor
        then = at_step(feed.in_force, feed.extent.last if cursor is None else cursor)
        return None if then is None else then.total_chance(feed.chance)
    return chance_of(metric, feed.chance) if spec.kind == "lines" else None


def title_of(spec: Spec, options: Options, feed: ChartInputs, metrics: tuple[str, ...]) -> str:
    """Return the title of a chart: the chosen metrics, or the name of the chart."""
    if options.metrics is not None and metrics:
        return in_cells(", ".join(metrics))
    has_levels = spec.kind == "lines" and any(chance_of(metric, feed.chance) is not None for metric in metrics)
    return in_cells(f"{spec.title} / chance level" if has_levels else spec.title)


def tags_of(spec: Spec, options: Options, panes: list[Pane], feed: ChartInputs, glyphs: Glyphs) -> tuple[str, ...]:
    """Return the tags of a chart, those that are dropped first for lack of room at the beginning."""
    body = panes[0].body if panes else None
    tags: list[str] = []
    if isinstance(body, LineChart):
        tags += [f"below {glyphs.cut(in_cells(under.name), _MAX_NAME)}" for under in feed.under if body.under]
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
