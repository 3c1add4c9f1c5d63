"""The line below the charts: cursor, nearest mark, visible steps and follow mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from textual.content import Content
from textual.widgets import Static

from cockpit.charts.annotations.marks import Mark, head
from cockpit.charts.draw.axes import place_text
from cockpit.charts.draw.glyphs import Glyphs
from cockpit.charts.inputs import ChartInputs
from cockpit.charts.ticks import step_label
from cockpit.charts.view import recorded

_LEAST_MARK: Final = 24
"""Columns for the mark before a part of the view is left out."""


class ChartStatus(Static):
    """One row of text, updated only if it changes."""

    DEFAULT_CSS = """
    ChartStatus {
        height: 1;
        padding: 0 1;
        color: $foreground 62%;
    }
    """

    def __init__(self) -> None:
        super().__init__("", markup=False)
        self._shown: tuple[str, str, int] | None = None

    def show(self, feed: ChartInputs, glyphs: Glyphs, pages: str) -> None:
        """Show the mark nearest to the cursor, or the newest, on the left and the view on the right."""
        width, left = self.content_size.width, marked(feed, glyphs)
        parts = [part for part in (*facts(feed), pages) if part]
        right = fitting(parts, width - min(len(left), _LEAST_MARK) - 2)
        if (left, right, width) == self._shown:
            return
        self._shown = (left, right, width)
        room = width - len(right) - 2
        if room < 12:
            self.update(Content(right if len(right) <= width else glyphs.cut(left, width)), layout=False)
            return
        self.update(Content(f"{glyphs.cut(left, room):<{room}}  {right}"), layout=False)


def fitting(parts: Sequence[str], room: int) -> str:
    """Return the parts in one line, without the last ones if they do not fit; the first one is kept."""
    lines = ("  ".join(parts[:count]) for count in range(len(parts), 1, -1))
    return next((line for line in lines if len(line) <= room), "".join(parts[:1]))


def marked(feed: ChartInputs, glyphs: Glyphs) -> str:
    """Return the cursor's step and the nearest mark."""
    cursor = feed.view.cursor
    mark = feed.marks.nearest(feed.extent.last if cursor is None else cursor, feed.view.shown(feed.extent))
    place = "" if cursor is None or feed.axis is None else f", {feed.axis.kind} {place_text(feed.axis, cursor)}"
    at = "" if cursor is None else f"step {step_label(cursor)}{place}  "
    return at if mark is None else at + _sentence(mark, glyphs)


def _sentence(mark: Mark, glyphs: Glyphs) -> str:
    return f"{head(mark.kind, glyphs.signs)} {step_label(mark.step)}: {mark.text}"


def facts(feed: ChartInputs) -> tuple[str, ...]:
    """Return the parts about the view: progress of loading the journal, visible steps, follow mode."""
    extent, view = feed.extent, feed.view
    loading = feed.source.loading
    first, last = recorded(view.shown(extent), extent)
    steps = "" if extent.last == 0 else f"steps {step_label(first)}-{step_label(last)}"
    if steps and feed.axis is not None:
        steps = f"{feed.axis.kind} {place_text(feed.axis, first)} to {place_text(feed.axis, last)}"
    follow = "Follow on" if view.follow else "Follow off"
    return (f"reading the journal, {100 * loading:.0f} %" if loading < 1 else "", steps, follow)
