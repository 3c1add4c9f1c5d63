"""One chart as a widget: it redraws only on changes, and repaints only the rows that differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip

from cockpit.charts.chart_specs import Spec
from cockpit.charts.columns.smoothing import stronger
from cockpit.charts.draw.canvas import Canvas
from cockpit.charts.draw.glyphs import MARKERS, Marker
from cockpit.charts.draw.lines import line_scale
from cockpit.charts.draw.plot import Picture, draw
from cockpit.charts.inputs import ChartInputs, Options
from cockpit.charts.scale import Scale
from cockpit.charts.scene import Body, Heat, LineChart
from cockpit.ui.panels.charts.colours import CellStyles
from cockpit.ui.panels.charts.mouse import ChartMouse
from cockpit.ui.panels.toolkit.fast_lines import FastLines

_EMPTY: Final = Canvas(0, 0)


class ChartView(FastLines, ChartMouse):
    """Widget that draws the chart `spec` from the newest inputs."""

    DEFAULT_CSS = "ChartView { width: 1fr; height: 1fr; background: transparent; }"

    def __init__(self, spec: Spec, marker: Marker = "braille") -> None:
        super().__init__(id=f"chart-{spec.id}")
        self.spec = spec
        self.options = Options.of(spec)
        self.glyphs = MARKERS[marker]
        self.num_draws = 0
        self._feed: ChartInputs | None = None
        self._drawn: tuple[object, ...] = ()
        self._canvas = _EMPTY
        self.picture: Picture | None = None
        """What was drawn last; `None` before that."""
        self._strips: dict[int, Strip] = {}
        self._cell_styles = CellStyles(self)

    @property
    def plot_width(self) -> int:
        """Return the width of the plot of the whole run in cells; 1 before anything is drawn."""
        return max(self.picture.layout.plots[0].width, 1) if self.picture else 1

    def show(self, feed: ChartInputs) -> None:
        """Draw `feed` if it differs from the last one and the chart is displayed."""
        self._feed = feed
        if self.display and self.size:
            self._draw()

    def set_options(self, options: Options) -> None:
        """Set the options and draw with them."""
        self.options = options
        if self._feed is not None:
            self.show(self._feed)

    def text(self) -> str:
        """Return the picture as plain text."""
        return "\n".join(self._canvas.lines())

    def render_line(self, y: int) -> Strip:
        """Return one row of the picture."""
        if (self._canvas.width, self._canvas.height) != self.size:
            self._draw()
        if y >= self._canvas.height:
            return Strip.blank(self.size.width, self.rich_style)
        if y not in self._strips:
            segments = [Segment(text, self._cell_styles.of(style)) for text, style in self._canvas.runs(y)]
            self._strips[y] = Strip(segments, self._canvas.width)
        return self._strips[y]

    def change(self, action: str) -> None:
        """Run the action "log_scale", "smoothing" or "lock_range" of the key table."""
        match action:
            case "log_scale":
                self.set_options(replace(self.options, log=not self.options.log, locked=()))
            case "smoothing":
                self.set_options(replace(self.options, smoothing=stronger(self.options.smoothing)))
            case _ if self.spec.kind == "stack":
                self.notify("shares always go from 0 to 100 %", severity="warning", markup=False)
            case _:
                self.set_options(replace(self.options, locked=() if self.options.locked else self._scales()))

    def _scales(self) -> tuple[Scale, ...]:
        """Return the range of each plot's values as it is drawn now."""
        if self.picture is None:
            return ()
        counts = (plot.width * self.glyphs.across for plot in self.picture.layout.plots)
        found = (_scale_of(pane.body, count) for pane, count in zip(self.picture.scene.panes, counts, strict=False))
        return tuple(scale for scale in found if scale is not None)

    def notify_style_update(self) -> None:
        """Style every row again, as the theme may have changed; nothing is drawn again."""
        self._cell_styles.clear()
        self._strips.clear()
        super().notify_style_update()
        self.refresh()

    def watch_has_focus(self, has_focus: bool) -> None:
        """Draw the frame in the colour of the focus."""
        super().watch_has_focus(has_focus)
        self._draw()

    def _draw(self) -> None:
        feed, size = self._feed, self.size
        if feed is None:
            return
        key = (*_shown_of(feed), self.spec, self.options, self.has_focus, size)
        if key == self._drawn:
            return
        self._drawn = key
        self.num_draws += 1
        frame = "focused" if self.has_focus else "plain"
        self.picture = draw(self.spec, self.options, feed, size, self.glyphs, frame=frame)
        self._put(self.picture.canvas)

    def _put(self, canvas: Canvas) -> None:
        """Show `canvas`; repaint only the rows that differ."""
        old, self._canvas = self._canvas, canvas
        if (old.width, old.height) != (canvas.width, canvas.height):
            self._strips.clear()
            self.refresh()
            return
        same_Y = (old.text_YX == canvas.text_YX).all(axis=1) & (old.style_YX == canvas.style_YX).all(axis=1)
        changed: list[int] = np.flatnonzero(~same_Y).tolist()
        for y in changed:
            self._strips.pop(y, None)
        if changed:
            self.refresh(*(Region(0, y, canvas.width, 1) for y in changed))

    def step_at(self, x: int) -> float | None:
        """Return the step below column `x`; `None` outside the plots."""
        if self.picture is None:
            return None
        pairs = zip(self.picture.layout.plots, self.picture.scene.panes, strict=False)
        below = ((plot, pane) for plot, pane in pairs if plot.x <= x < plot.x + plot.width)
        return next((pane.window.step_at(x - plot.x, plot.width) for plot, pane in below), None)


def _scale_of(body: Body, count: int) -> Scale | None:
    """Return the range of a plot with `count` dot columns; `None` for one without."""
    match body:
        case LineChart() if body.curves and count:
            return line_scale(body, count)
        case Heat():
            return body.scale
        case _:
            return None


def _shown_of(feed: ChartInputs) -> tuple[object, ...]:
    """Return the key of a chart's picture: equal keys mean that nothing has changed."""
    held_against, source = (feed.chance, tuple(feed.in_force), feed.bound), feed.source
    under = tuple((id(run.source), run.source.version, run.axis) for run in feed.under)
    return (id(source), source.version, feed.extent, feed.view, feed.marks, held_against, feed.recent, under)
