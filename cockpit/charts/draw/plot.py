"""Draw a chart of a history on a canvas: frame, legend, plots, axes, marks and cursor."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from cockpit.charts.build import build, metrics_of
from cockpit.charts.chart_specs import Spec
from cockpit.charts.draw.axes import draw_axes, draw_steps
from cockpit.charts.draw.canvas import Area, Canvas
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.draw.heat import draw_heat
from cockpit.charts.draw.layout import Layout, arrange, legend_rows, num_panes
from cockpit.charts.draw.legend import draw_legend, draw_title
from cockpit.charts.draw.lines import draw_lines
from cockpit.charts.draw.overlay import draw_cursor, draw_marks
from cockpit.charts.draw.stack import draw_stack
from cockpit.charts.inks import Ink
from cockpit.charts.inputs import ChartInputs, Options
from cockpit.charts.scene import ChartScene, Heat, LineChart, Pane
from engine.protocol.record import record

Frame = Literal["plain", "focused", "none"]
"""The frame of a chart, or "none" for a chart without frame, title and legend."""


@record
class Picture:
    """A drawn chart: its characters, what they show, and the places of its parts."""

    canvas: Canvas
    scene: ChartScene
    layout: Layout


def draw(
    spec: Spec, options: Options, feed: ChartInputs, size: tuple[int, int], glyphs: Glyphs, *, frame: Frame = "plain"
) -> Picture:
    """Reduce the history of `feed` to the columns of a chart of `size` (width, height) in cells, and draw them.

    Never raises for any size or any values.
    """
    layout = _arranged(spec, options, feed, size, framed=frame != "none")
    scene = build(spec, options, feed, layout, glyphs)
    if frame == "none":
        scene = replace(scene, title="", legend=())
    scene = replace(scene, focused=frame == "focused")
    return Picture(_drawn(scene, size, layout, glyphs), scene, layout)


def _arranged(spec: Spec, options: Options, feed: ChartInputs, size: tuple[int, int], *, framed: bool) -> Layout:
    width, height = size
    is_heat = spec.kind == "heat"
    several = len(metrics_of(spec, options, feed.source.names)) > 3 and not is_heat
    rows = (legend_rows(height) if several else 1) if framed else 0
    panes = num_panes(width, recent=feed.recent)
    return arrange(width, height, legend_rows=rows, panes=panes, wide_gutter=is_heat, framed=framed)


def _drawn(scene: ChartScene, size: tuple[int, int], layout: Layout, glyphs: Glyphs) -> Canvas:
    canvas = Canvas(*size)
    draw_title(canvas, scene, glyphs, framed=layout.framed)
    draw_legend(canvas, layout.legend, scene.legend, glyphs, scene.key)
    for pane, area in zip(scene.panes, layout.plots, strict=False):
        if area.width > 0 and area.height > 0:
            _draw_pane(canvas, pane, area, layout, glyphs)
            note = scene.note or ("" if pane.body.has_values else "no values here")
            _draw_note(canvas, glyphs.cut(note, area.width), area)
    return canvas


def _draw_pane(canvas: Canvas, pane: Pane, area: Area, layout: Layout, glyphs: Glyphs) -> None:
    body = pane.body
    if isinstance(body, LineChart):
        drawn = draw_lines(canvas, area, body, glyphs)
        draw_marks(canvas, area, pane, glyphs)
        draw_axes(canvas, area, drawn, layout, glyphs)
    else:  # these fill their area: marks are in a row above
        rows = 1 if area.height > 2 and pane.marks.marks else 0
        draw_marks(canvas, Area(area.x, area.y, area.width, rows), pane, glyphs)
        below = Area(area.x, area.y + rows, area.width, area.height - rows)
        drawn = (
            draw_heat(canvas, below, body, glyphs, layout.gutter - 1)
            if isinstance(body, Heat)
            else draw_stack(canvas, below, body, glyphs)
        )
        draw_axes(canvas, below, drawn, layout, glyphs)
    if layout.axis:
        draw_steps(canvas, area, pane, layout, glyphs)
    if pane.cursor is not None:
        draw_cursor(canvas, area, pane, layout, glyphs)


def _draw_note(canvas: Canvas, note: str, area: Area) -> None:
    if note:
        canvas.write(area.x + (area.width - len(note)) // 2, area.y + area.height // 2, note, Ink.FAINT)
