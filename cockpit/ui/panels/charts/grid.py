"""The linked charts of a run: one view, one cursor and one set of marks for all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult

from cockpit.charts.draw.glyphs import MARKERS, Marker
from cockpit.charts.inputs import ChartInputs
from cockpit.charts.view import MOVES, View
from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.ui.panels.charts.board import ChartBoard
from cockpit.ui.panels.charts.chart import ChartView
from cockpit.ui.panels.charts.feed import ChartFeed
from cockpit.ui.panels.charts.metric_chooser import choose_metrics
from cockpit.ui.panels.charts.mouse import ChartMouse
from cockpit.ui.panels.charts.status_line import ChartStatus
from cockpit.ui.panels.toolkit.panel import Panel

_STATUS_SECONDS: Final = 1.0
"""Interval of the status line while only new steps arrive."""

_STATUS_FROM: Final = 12
"""Lower grids leave the row of the status line to the charts."""


class ChartGrid(Panel):
    """As many charts as the size allows; the others are on further pages and cost nothing."""

    TITLE: ClassVar[str] = "Charts"
    DEFAULT_CSS = """
    ChartGrid { layout: vertical; width: 1fr; height: 1fr; }
    """

    def __init__(
        self,
        *,
        marker: Marker = "braille",
        has_time: Callable[[], bool] = lambda: True,
        baseline: Path | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.view = View()
        self.recent = False
        self.board = ChartBoard(marker, has_time=has_time)
        self._glyphs = MARKERS[marker]
        self._status = ChartStatus()
        self._feed = ChartFeed(baseline)
        self._is_due = False
        self._said_at = -_STATUS_SECONDS

    def compose(self) -> ComposeResult:
        """Yield the charts and the status line."""
        yield self.board
        yield self._status

    def on_unmount(self) -> None:
        """Close the journals of the other runs."""
        self._feed.close()

    def on_resize(self, event: events.Resize) -> None:
        """Hide the status line in a low grid."""
        self._status.display = event.size.height >= _STATUS_FROM
        self._draw_soon()

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Redraw the visible charts if steps, events or reference levels are new.

        If only steps are new, one chart is drawn now and the others while `has_time` returns true.
        """
        is_other = self._feed.follow(session)
        if is_other or update.rewound or update.entries:
            self.board.offer(session.history.names, session.spec)
            self._show(all_charts=True)
        elif update.steps or update.state:
            self.board.offer(session.history.names, session.spec)
            self._show(all_charts=False)

    def dispatch(self, action: str) -> bool:
        """Run an action of the key group "charts"; return `False` for any other action."""
        if action in MOVES:
            self._move(action)
            return True
        match action:
            case "next_chart" | "previous_chart":
                self.board.turn(1 if action == "next_chart" else -1)
            case "maximise":
                self.maximise(on=not self.board.maximised)
            case "recent":
                self.recent = not self.recent
            case "x_axis" | "baseline":
                self._turn(action)
            case "log_scale" | "smoothing" | "lock_range":
                self.board.current.change(action)
            case "choose_metrics":
                choose_metrics(
                    self.board.current, () if self._feed.session is None else self._feed.session.history.names
                )
            case _:
                return False
        self._draw_soon()
        return True

    def _move(self, action: str) -> None:
        if (feed := self.feed()) is not None:
            self._look(MOVES[action](self.view, feed.extent, self.board.current.plot_width))

    def jump(self, step: int) -> None:
        """Put the cursor on `step` and show it."""
        if (feed := self.feed()) is not None:
            self._look(self.view.at(feed.extent, step))

    def maximise(self, *, on: bool) -> None:
        """Maximise the current chart, or show its page."""
        self.board.maximised = on
        self.board.lay_out()
        self._draw_soon()

    def feed(self) -> ChartInputs | None:
        """Return the inputs of the charts; `None` before the first update."""
        return self._feed.inputs(self.view, recent=self.recent)

    def _turn(self, action: str) -> None:
        """Go to the next horizontal axis, or show or hide the curves of other runs, and say which."""
        session = self._feed.session
        if session is None:
            return
        if action == "x_axis":
            self.notify(self._feed.turn_axis(session), markup=False)
        elif said := self._feed.turn_underlays():
            self.notify(said, markup=False)
        else:
            none = "the run is no branch, and --baseline names no run"
            self.notify(f"there are no curves of other runs: {none}", severity="warning", markup=False)

    def _look(self, view: View) -> None:
        if view != self.view:
            self.view = view
            self._draw_soon()

    def _draw_soon(self) -> None:
        """Draw once for everything that happens before the next message is handled."""
        if not self._is_due:
            self._is_due = True
            self.call_later(self._draw)

    def _draw(self) -> None:
        self._is_due = False
        feed = self.feed()
        if feed is not None:
            self.board.turns.draw_from(self.board.current, self.board.shown, feed)
            self._say(feed)

    def _show(self, *, all_charts: bool) -> None:
        feed = self.feed()
        if feed is None:
            return
        if all_charts:
            self.board.turns.draw(self.board.shown, feed)
        else:
            self.board.turns.draw_some(self.board.shown, feed)
        if all_charts or time.monotonic() - self._said_at >= _STATUS_SECONDS:
            self._say(feed)

    def _say(self, feed: ChartInputs) -> None:
        self._said_at = time.monotonic()
        if self._status.display:
            self._status.show(feed, self._glyphs, self.board.place)

    def on_chart_mouse_pointed(self, event: ChartMouse.Pointed) -> None:
        """Move the cursor to the step under the pointer."""
        self.jump(event.step)

    def on_chart_mouse_zoomed(self, event: ChartMouse.Zoomed) -> None:
        """Zoom around the pointer."""
        if (feed := self.feed()) is not None:
            self._look(self.view.zoomed(feed.extent, event.factor, event.step))

    def on_chart_mouse_dragged(self, event: ChartMouse.Dragged) -> None:
        """Pan with the mouse."""
        if (feed := self.feed()) is not None:
            self._look(self.view.panned(feed.extent, event.share))

    def on_chart_mouse_enlarged(self, event: ChartMouse.Enlarged) -> None:
        """Maximise the chart, or restore the page."""
        if isinstance(event.chart, ChartView):
            self.board.go_to(event.chart)
        self.maximise(on=not self.board.maximised)
