"""When the charts of a page are drawn: all now, or in turns, so that keys and the training are not held up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from textual.timer import Timer
from textual.widget import Widget

from cockpit.charts.inputs import ChartInputs
from cockpit.ui.panels.charts.chart import ChartView

_SECONDS_BETWEEN: Final = 0.02
"""Pause between two charts that are drawn for new steps only, so that keys are handled in between."""

_CHARTS_PER_TURN: Final = 2
"""Charts that are drawn together in one turn."""


class ChartTurns:
    """Draws charts on the timers of `widget`; `has_time` tells whether there is time for those that only lag behind."""

    def __init__(self, widget: Widget, has_time: Callable[[], bool]) -> None:
        self._widget = widget
        self._has_time = has_time
        self._behind: list[ChartView] = []
        self._feed: ChartInputs | None = None
        self._next: Timer | None = None

    def draw(self, shown: Sequence[ChartView], feed: ChartInputs) -> None:
        """Draw what is new in every chart."""
        self._feed = feed
        self._behind.clear()
        for chart in shown:
            chart.show(feed)

    def draw_from(self, current: ChartView, shown: Sequence[ChartView], feed: ChartInputs) -> None:
        """Draw the current chart now and the others right after it, so that it does not wait for them."""
        self._feed = feed
        self._behind = [chart for chart in shown if chart is not current]
        current.show(feed)
        self._widget.call_later(self._draw_rest)

    def draw_some(self, shown: Sequence[ChartView], feed: ChartInputs) -> None:
        """Draw the charts that have waited longest, the others when there is time.

        On a fast run, drawing all of them for every update would take time from the training.
        """
        self._feed = feed
        self._behind = [chart for chart in self._behind if chart in shown]
        self._behind += [chart for chart in shown if chart not in self._behind]
        self._draw_next(feed, 1)

    def catch_up(self) -> None:
        """Draw some of the outdated charts, if there is time and the last pause is over."""
        if self._behind and self._next is None and self._feed is not None and self._has_time():
            self._draw_next(self._feed, _CHARTS_PER_TURN)

    def _draw_rest(self) -> None:
        if self._behind and self._feed is not None:
            self._behind.pop(0).show(self._feed)
            self._widget.call_later(self._draw_rest)

    def _draw_next(self, feed: ChartInputs, count: int) -> None:
        for chart in self._behind[:count]:
            chart.show(feed)
        del self._behind[:count]
        if self._behind and self._next is None:
            self._next = self._widget.set_timer(_SECONDS_BETWEEN, self._go_on)

    def _go_on(self) -> None:
        self._next = None
        self.catch_up()
