"""The view that all charts share (range, follow, cursor), and the moves that keys make in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cockpit.charts.columns.window import ColumnWindow, StepAxis
from engine.protocol.record import record

ZOOM: Final = 2.0
_MIN_SPAN: Final = 8.0
"""The least number of steps that a zoom shows."""
_WHOLE_SPAN: Final = 20.0
"""A young run is drawn as if it had this many steps, so that its axis stays the same at first."""


@record
class Extent:
    """The first and the last recorded step; (0, 0) for an empty run. `axis` is that of the plots, `None` for steps."""

    first: int
    last: int
    axis: StepAxis | None = None


@record
class View:
    """The visible range: `window` is `None` for the whole run; `follow` keeps it at the newest step.

    `cursor` is a step or `None`.
    """

    window: ColumnWindow | None = None
    follow: bool = True
    cursor: int | None = None

    def shown(self, extent: Extent) -> ColumnWindow:
        """Return the steps to draw of a run with this extent."""
        if self.window is None:
            return whole_run(extent)
        if self.follow:
            end = extent.last + 1.0
            return ColumnWindow(end - self.window.span, end, extent.axis)
        return _inside(self.window, extent)

    def zoomed(self, extent: Extent, factor: float, around: float | None = None) -> View:
        """Return the view `factor` times closer (below 1: further) around a step.

        The step is the given one, the cursor, or the middle. With `follow` the newest step stays at the right edge.
        Zooming out beyond the run shows all of it.
        """
        if extent.axis is not None:
            return self._zoomed_on(extent, factor, around)
        shown, everything = self.shown(extent), whole_run(extent)
        span = max(shown.span / factor, _MIN_SPAN)
        if span >= everything.span:
            return replace(self, window=None)
        point = self.cursor if around is None else around
        if self.follow and point is None:
            return replace(self, window=ColumnWindow(extent.last + 1.0 - span, extent.last + 1.0))
        point = (shown.first + shown.end) / 2 if point is None else point
        share = min(max((point - shown.first) / shown.span, 0.0), 1.0)
        return replace(
            self, window=_inside(ColumnWindow(point - share * span, point + (1 - share) * span), extent), follow=False
        )

    def _zoomed_on(self, extent: Extent, factor: float, around: float | None) -> View:
        """Return the view `factor` times closer on an axis other than the step."""
        shown, (least, most) = self.shown(extent), whole_run(extent).limits
        left, right = shown.limits
        width = (right - left) / factor
        point = self.cursor if around is None else around
        if width >= most - least:
            return replace(self, window=None)
        if self.follow and point is None:
            window = shown.at(right - width, right)
            return self if window.span < _MIN_SPAN else replace(self, window=window)
        assert extent.axis is not None
        place = (left + right) / 2 if point is None else extent.axis.place(point)
        share = min(max((place - left) / (right - left), 0.0), 1.0)
        window = shown.at(place - share * width, place + (1 - share) * width)
        return self if window.span < _MIN_SPAN else replace(self, window=_inside(window, extent), follow=False)

    def panned(self, extent: Extent, share: float) -> View:
        """Return the view moved by a share of the window's width (below 0: left), within the run."""
        if self.window is None:
            return self
        shown = self.shown(extent)
        left, right = shown.limits
        moved = shown.at(left + share * (right - left), right + share * (right - left))
        return replace(self, window=_inside(moved, extent), follow=False)

    def followed(self, extent: Extent) -> View:
        """Return the view with follow switched on or off; without follow the window stays."""
        if self.window is None:
            return replace(self, follow=not self.follow)
        return replace(self, follow=not self.follow, window=self.shown(extent))

    def whole(self) -> View:
        """Return the view of the whole run, with follow on."""
        return replace(self, window=None, follow=True)

    def at(self, extent: Extent, step: int | None) -> View:
        """Return the view with the cursor at a step, moved to show it; `None` removes the cursor."""
        if step is None or extent.last == 0:
            return replace(self, cursor=None)
        step = min(max(step, extent.first), extent.last)
        shown = self.shown(extent)
        if self.window is None or shown.first <= step < shown.end:
            return replace(self, cursor=step)
        window = ColumnWindow(step - shown.span / 2, step + shown.span / 2, extent.axis)
        return replace(self, cursor=step, window=_inside(window, extent), follow=False)

    def moved(self, extent: Extent, columns: int, *, of: int) -> View:
        """Return the view with the cursor moved by `columns` (below 0: left) in a plot `of` columns wide."""
        shown = self.shown(extent)
        if self.cursor is None:
            return self.at(extent, min(math.ceil(shown.end) - 1, extent.last))
        if extent.axis is None:
            stride = max(1, round(shown.span / max(of, 1)))
            return self.at(extent, self.cursor + columns * stride)
        there = round(shown.step_at(shown.column(self.cursor, of) + columns, of))
        least = self.cursor + (1 if columns > 0 else -1)
        return self.at(extent, max(there, least) if columns > 0 else min(there, least))

    def first_shown(self, extent: Extent) -> View:
        """Return the view with the cursor at the first visible step."""
        return self.at(extent, math.ceil(self.shown(extent).first))

    def last_shown(self, extent: Extent) -> View:
        """Return the view with the cursor at the last visible step."""
        return self.at(extent, math.ceil(self.shown(extent).end) - 1)


def whole_run(extent: Extent) -> ColumnWindow:
    """Return the window from the first step to a round number past the last, so that the axis rarely changes."""
    span = max(extent.last + 1.0 - extent.first, _WHOLE_SPAN)
    grain = 10.0 ** math.floor(math.log10(span / 10))
    grain = next(grain * factor for factor in (5, 2, 1) if grain * factor <= span / 10) / 2
    return ColumnWindow(float(extent.first), extent.first + math.ceil(span / grain - 1e-9) * grain, extent.axis)


def recorded(window: ColumnWindow, extent: Extent) -> tuple[int, int]:
    """Return the first and the last recorded step that a window shows, possibly the same one."""
    first = min(max(math.ceil(window.first), extent.first), extent.last)
    return first, max(min(math.ceil(window.end) - 1, extent.last), first)


def _inside(window: ColumnWindow, extent: Extent) -> ColumnWindow:
    """Return the window, on the axis of the plots, moved so that it shows the last step at least."""
    everything = whole_run(extent)
    span = min(window.span, everything.span)
    first = min(max(window.first, everything.first), everything.end - span, float(max(extent.last, extent.first)))
    return ColumnWindow(first, first + span, extent.axis)


_PAN: Final = 0.25

Move = Callable[[View, Extent, int], View]
"""Map a view, the run's extent and the plots' width in cells to the next view."""

MOVES: Final[dict[str, Move]] = {
    "cursor_left": lambda view, extent, width: view.moved(extent, -1, of=width),
    "cursor_right": lambda view, extent, width: view.moved(extent, 1, of=width),
    "cursor_first": lambda view, extent, _: view.first_shown(extent),
    "cursor_last": lambda view, extent, _: view.last_shown(extent),
    "zoom_in": lambda view, extent, _: view.zoomed(extent, ZOOM),
    "zoom_out": lambda view, extent, _: view.zoomed(extent, 1 / ZOOM),
    "pan_left": lambda view, extent, _: view.panned(extent, -_PAN),
    "pan_right": lambda view, extent, _: view.panned(extent, _PAN),
    "whole_run": lambda view, _, __: view.whole(),
    "follow": lambda view, extent, _: view.followed(extent),
    "clear_cursor": lambda view, extent, _: view.at(extent, None),
}
"""One move per action of the key table that changes the view."""
