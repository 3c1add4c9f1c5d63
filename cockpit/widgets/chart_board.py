"""The area that charts stand in: which of them are displayed, and which one keys act on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from textual import events
from textual.containers import Container
from textual.timer import Timer

from cockpit.charts.build import Feed
from cockpit.charts.catalogue import DEFAULTS, charts_of
from cockpit.charts.glyphs import Marker
from cockpit.charts.paging import Shape, page_of, shape_for
from cockpit.widgets.chart_view import ChartView

_STRAGGLERS_AFTER: Final = 0.2
"""Seconds after which the charts that were passed over are drawn where no new steps have had them drawn by then."""


class ChartBoard(Container):
    """Every chart there may be; one page of those that the run has is displayed."""

    DEFAULT_CSS = """
    ChartBoard { layout: grid; width: 1fr; height: 1fr; }
    """

    def __init__(self, marker: Marker) -> None:
        self.charts = [ChartView(spec, marker) for spec in DEFAULTS]
        super().__init__(*self.charts)
        self.current = self.charts[0]
        self.wanted: Shape | None = None
        self.maximised = False
        self._behind: set[ChartView] = set()
        self._straggling: Timer | None = None
        self.available = [chart for chart in self.charts if chart.spec.lasting]

    @property
    def shown(self) -> list[ChartView]:
        """The charts of this page."""
        if self.maximised:
            return [self.current]
        page = page_of(self._index(), len(self.available), self._shape().size)
        return [self.available[number] for number in page]

    @property
    def place(self) -> str:
        """Which charts of how many are shown; '' when it is all."""
        shown, count = self.shown, len(self.available)
        if len(shown) == count:
            return ""
        first, last = self.available.index(shown[0]) + 1, self.available.index(shown[-1]) + 1
        return f"chart {first} of {count}" if first == last else f"charts {first}-{last} of {count}"

    def show(self, feed: Feed) -> None:
        """Draw what is new in every chart of this page."""
        self._behind.clear()
        if self._straggling is not None:
            self._straggling.stop()
            self._straggling = None
        for chart in self.shown:
            chart.show(feed)

    def show_some(self, feed: Feed) -> None:
        """Draw half of the charts now and the others the next time, the one that keys act on every time.

        While a run takes many steps a second that halves the work, and no chart is more than a moment behind.
        """
        shown = self.shown
        now = {*(self._behind.intersection(shown) or shown[::2]), self.current}
        for chart in shown:
            if chart in now:
                chart.show(feed)
        self._behind = set(shown) - now
        if self._straggling is not None:
            self._straggling.stop()
        self._straggling = self.set_timer(_STRAGGLERS_AFTER, lambda: self.show(feed)) if self._behind else None

    def offer(self, metrics: Iterable[str]) -> None:
        """The run has these metrics: charts that hold one of them are available."""
        specs = charts_of(metrics)
        available = [chart for chart in self.charts if chart.spec in specs]
        if available != self.available:
            self.available = available
            self.lay_out()

    def lay_out(self) -> None:
        """Display the charts of this page, and no others."""
        shown = self.shown
        for chart in self.charts:
            chart.display = chart in shown
        shape = Shape(1, 1) if self.maximised else self._shape()
        self.styles.grid_size_columns, self.styles.grid_size_rows = shape.columns, shape.rows

    def turn(self, by: int) -> None:
        """Go `by` charts further, from the last to the first."""
        self.go_to(self.available[(self._index() + by) % len(self.available)])

    def go_to(self, chart: ChartView) -> None:
        """Make `chart` the one that keys act on, with the page it is on."""
        self.current = chart
        if not chart.display:
            self.lay_out()
        chart.focus(scroll_visible=False)

    def on_resize(self, event: events.Resize) -> None:
        """As many charts as the new size has room for."""
        self.lay_out()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Keys act on the chart that has the focus."""
        if isinstance(event.widget, ChartView):
            self.current = event.widget

    def _index(self) -> int:
        return self.available.index(self.current) if self.current in self.available else 0

    def _shape(self) -> Shape:
        return self.wanted or shape_for(self.size.width, self.size.height)
