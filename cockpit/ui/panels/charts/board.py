"""The area of the charts: which of them are displayed, and which one keys act on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from textual import events
from textual.containers import Container

from cockpit.charts.chart_specs import charts_for, charts_of
from cockpit.charts.draw.glyphs import Marker
from cockpit.charts.paging import Shape, page_of, shape_for
from cockpit.ui.panels.charts.chart import ChartView
from cockpit.ui.panels.charts.turns import ChartTurns
from engine.protocol.task_spec import NO_SPEC, TaskSpec


class ChartBoard(Container):
    """All charts; one page of those that the run has is displayed."""

    DEFAULT_CSS = """
    ChartBoard { layout: grid; width: 1fr; height: 1fr; }
    """

    def __init__(self, marker: Marker, *, has_time: Callable[[], bool]) -> None:
        self._shown_task = NO_SPEC
        self.charts = [ChartView(spec, marker) for spec in charts_for(NO_SPEC)]
        for chart in self.charts:
            chart.display = False  # until the size is known
        super().__init__(*self.charts)
        self.current = self.charts[0]
        self.maximised = False
        self.turns = ChartTurns(self, has_time)
        self.available = [chart for chart in self.charts if chart.spec.lasting]

    @property
    def shown(self) -> list[ChartView]:
        """Return the charts of this page."""
        if self.maximised:
            return [self.current]
        page = page_of(self._index(), len(self.available), self._shape().size)
        return [self.available[number] for number in page]

    @property
    def place(self) -> str:
        """Return which charts of how many are shown; empty string if it is all of them."""
        shown, count = self.shown, len(self.available)
        if len(shown) == count:
            return ""
        first, last = self.available.index(shown[0]) + 1, self.available.index(shown[-1]) + 1
        return f"chart {first} of {count}" if first == last else f"charts {first}-{last} of {count}"

    def offer(self, metrics: Iterable[str], task: TaskSpec) -> None:
        """Make the charts available that hold one of these metrics of the task."""
        if task != self._shown_task:
            self._show_task(task)
        specs = charts_of(metrics, [chart.spec for chart in self.charts])
        available = [chart for chart in self.charts if chart.spec in specs]
        if available != self.available:
            self.available = available
            self.lay_out()

    def _show_task(self, task: TaskSpec) -> None:
        self._shown_task = task
        for chart, spec in zip(self.charts, charts_for(task), strict=True):
            chart.spec = spec

    def lay_out(self) -> None:
        """Display the charts of this page only."""
        shown = self.shown
        for chart in self.charts:
            chart.display = chart in shown
        shape = Shape(1, 1) if self.maximised else self._shape()
        self.styles.grid_size_columns, self.styles.grid_size_rows = shape.columns, shape.rows

    def turn(self, by: int) -> None:
        """Go `by` charts further; the first one follows the last."""
        self.go_to(self.available[(self._index() + by) % len(self.available)])

    def go_to(self, chart: ChartView) -> None:
        """Make `chart` the one that keys act on, and show its page."""
        self.current = chart
        if not chart.display:
            self.lay_out()
        chart.focus(scroll_visible=False)

    def on_resize(self, event: events.Resize) -> None:
        """Display as many charts as the new size has room for."""
        self.lay_out()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Make the focused chart the one that keys act on."""
        if isinstance(event.widget, ChartView):
            self.current = event.widget

    def _index(self) -> int:
        return self.available.index(self.current) if self.current in self.available else 0

    def _shape(self) -> Shape:
        return shape_for(self.size.width, self.size.height)
