"""The charts of a comparison: one per metric with a curve per run, on one view and one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual import events
from textual.containers import Container

from cockpit.charts.annotations.marks import NO_MARKS
from cockpit.charts.columns.smoothing import stronger
from cockpit.charts.columns.window import AxisKind
from cockpit.charts.draw.axes import place_text
from cockpit.charts.draw.glyphs import Marker
from cockpit.charts.inputs import ChartInputs, Options
from cockpit.charts.paging import page_of, shape_for
from cockpit.charts.ticks import compact
from cockpit.charts.view import MOVES, Extent, View
from cockpit.ui.panels.charts.chart import ChartView
from cockpit.ui.panels.charts.metric_chooser import MetricChooser
from cockpit.ui.panels.charts.mouse import ChartMouse
from cockpit.ui.panels.comparing.overlay import OverlaidRuns, metrics_of_runs, spec_of_metric
from cockpit.ui.panels.comparing.runs import KINDS, ComparedRun

_MOST_CHARTS = 6


class ComparisonBoard(Container):
    """As many charts as the size allows; `metrics` are the compared ones, `None` for all of them."""

    DEFAULT_CSS = "ComparisonBoard { layout: grid; width: 1fr; height: 1fr; }"

    def __init__(
        self,
        runs: Sequence[ComparedRun],
        *,
        marker: Marker,
        metrics: Sequence[str] | None = None,
        kind: AxisKind = "step",
    ) -> None:
        self._runs = runs
        self._source = OverlaidRuns(runs, kind)
        self._view = View()
        self._chosen = None if metrics is None else tuple(metrics)
        self._options: dict[str, Options] = {}
        self._first = 0
        self._current = 0
        self._is_maximised = False
        self._smoothing: float | None = None
        self._pool = [ChartView(replace(spec_of_metric("", runs), id=f"{at}"), marker) for at in range(_MOST_CHARTS)]
        super().__init__(*self._pool)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Return the metrics that have a chart."""
        return metrics_of_runs(self._runs) if self._chosen is None else self._chosen

    @property
    def said(self) -> str:
        """Return the axis, the cursor's place and the smoothing in words."""
        cursor, axis = self._view.cursor, self._source.axis
        at = "" if cursor is None else f" {place_text(axis, cursor)}"
        smoothing = "" if self._smoothing is None else f"  smooth {compact(self._smoothing)}"
        page, count = self._page(), len(self.metrics)
        last = f"-{page.stop}" if len(page) > 1 else ""
        pages = f"  charts {page.start + 1}{last} of {count}" if len(page) < count else ""
        return f"by {self._source.kind}{at}{smoothing}{pages}"

    def on_resize(self, event: events.Resize) -> None:
        """Show as many charts as the new size has room for."""
        self.call_after_refresh(self.show)

    def show(self) -> None:
        """Draw what is new in every chart of this page."""
        metrics, page = self.metrics, self._page()
        self.styles.grid_size_columns, self.styles.grid_size_rows = self._shape()
        inputs = self._inputs()
        for at, chart in enumerate(self._pool):
            chart.display = at < len(page)
        for at, (chart, number) in enumerate(zip(self._pool, page, strict=False)):
            chart.spec = replace(spec_of_metric(metrics[number], self._runs), id=f"{at}")
            chart.options = self._options_of(metrics[number], chart)
            chart.show(inputs)

    def dispatch(self, action: str) -> bool:
        """Run an action of the key group "charts"; return `False` for one that a comparison lacks."""
        if action in MOVES:
            self._view = MOVES[action](self._view, self._extent(), self._pool[0].plot_width)
        elif action == "x_axis":
            self._turn_axis()
        elif action == "smoothing":
            self._smoothing = stronger(self._smoothing or 0.0)
        elif action == "maximise":
            self._is_maximised = not self._is_maximised
        elif action in ("next_chart", "previous_chart"):
            self._turn(1 if action == "next_chart" else -1)
        elif action in ("log_scale", "lock_range"):
            self._change(action)
        elif action == "choose_metrics":
            self._choose()
        else:
            return False
        self.show()
        return True

    def _inputs(self) -> ChartInputs:
        return ChartInputs(self._source, self._view, NO_MARKS, {}, axis=self._source.axis)

    def _extent(self) -> Extent:
        return self._inputs().extent

    def _shape(self) -> tuple[int, int]:
        shape = shape_for(self.size.width, self.size.height)
        count = 1 if self._is_maximised else min(shape.size, len(self.metrics))
        columns = min(shape.columns, max(count, 1))
        return columns, max(-(-count // columns), 1)

    def _page(self) -> range:
        columns, rows = self._shape()
        page = page_of(self._current, len(self.metrics), columns * rows)
        self._first = page.start
        return page

    def _options_of(self, metric: str, chart: ChartView) -> Options:
        options = self._options.setdefault(metric, Options.of(chart.spec))
        return options if self._smoothing is None else replace(options, smoothing=self._smoothing)

    def _turn_axis(self) -> None:
        """Go to the next axis that every run has, and show the whole runs."""
        at = KINDS.index(self._source.kind)
        kinds: list[AxisKind] = [KINDS[(at + 1 + by) % len(KINDS)] for by in range(len(KINDS))]
        kind: AxisKind = next(kind for kind in kinds if all(run.has_axis(kind) for run in self._runs))
        self._source, self._view = OverlaidRuns(self._runs, kind), View()

    def _turn(self, by: int) -> None:
        """Go to the next chart if one is maximised, or else to the next page."""
        size = len(self._page())
        count = len(self.metrics)
        here = self._current if self._is_maximised else self._first
        self._current = (here + by * max(size, 1)) % max(count, 1) if by > 0 or here else count - 1

    def _change(self, action: str) -> None:
        """Change the chart that has the focus, or else the first one of the page."""
        page = self._page()
        at = next((number for number, chart in enumerate(self._pool[: len(page)]) if chart.has_focus), 0)
        chart = self._pool[at]
        chart.change(action)
        self._options[self.metrics[page[at]]] = chart.options

    def _choose(self) -> None:
        def choose(chosen: tuple[str, ...] | None) -> None:
            if chosen is not None:
                self._chosen, self._current = chosen or None, 0
                self.show()

        names = metrics_of_runs(self._runs)
        self.app.push_screen(MetricChooser("the comparison", names, self._chosen or ()), choose)

    def on_chart_mouse_pointed(self, event: ChartMouse.Pointed) -> None:
        """Move the cursor to the place under the pointer."""
        self._view = self._view.at(self._extent(), event.step)
        self.show()

    def on_chart_mouse_zoomed(self, event: ChartMouse.Zoomed) -> None:
        """Zoom around the pointer."""
        self._view = self._view.zoomed(self._extent(), event.factor, event.step)
        self.show()

    def on_chart_mouse_dragged(self, event: ChartMouse.Dragged) -> None:
        """Pan with the mouse."""
        self._view = self._view.panned(self._extent(), event.share)
        self.show()
