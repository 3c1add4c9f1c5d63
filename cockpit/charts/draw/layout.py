"""Places of the parts of a chart for a given size."""

from __future__ import annotations

from typing import Final

from cockpit.charts.draw.canvas import Area
from engine.protocol.record import record

_MIN_SPLIT: Final = 44
"""Narrower charts show the recent pane instead of the whole run, not both."""
_NO_GUTTER: Final = 26


@record
class Layout:
    """Areas of a chart: the legend, one plot per pane, and which optional parts have room.

    Each plot has `gutter` columns for labels and axis on its left. The axis line is the row below the plots, the steps'
    labels the row below that.
    """

    legend: Area
    plots: tuple[Area, ...]
    gutter: int
    framed: bool
    axis: bool
    labels: bool


def num_panes(width: int, *, recent: bool) -> int:
    """Return how many plots fit next to each other."""
    return 2 if recent and width >= _MIN_SPLIT else 1


def arrange(
    width: int, height: int, *, legend_rows: int, panes: int = 1, wide_gutter: bool = False, framed: bool = True
) -> Layout:
    """Return the places in a chart of `width` x `height` cells (0 and more); parts that do not fit have no cells."""
    framed = framed and width >= 16 and height >= 6
    inset = 1 if framed else 0
    inner_width, inner_height = max(width - 2 * inset, 0), max(height - 2 * inset, 0)
    axis, labels = inner_height >= 4, inner_height >= 6
    rows = min(legend_rows, max(1 if inner_height >= 3 else 0, inner_height // 4))
    plot_height = max(inner_height - rows - axis - labels, 0)
    gutter = _gutter(inner_width // panes, wide=wide_gutter)
    room = max(inner_width - panes * gutter, 0)
    widths = [room] if panes == 1 else [room * 3 // 5, room - room * 3 // 5]
    plots: list[Area] = []
    x = inset
    for plot_width in widths:
        plots.append(Area(x + gutter, inset + rows, plot_width, plot_height))
        x += gutter + plot_width
    legend = Area(inset, inset, inner_width, rows)
    return Layout(legend, tuple(plots), gutter, framed, axis, labels)


def legend_rows(height: int) -> int:
    """Return how many rows the legend of a chart of that height may take."""
    return 1 if height < 10 else (2 if height < 17 else 3)


def _gutter(width: int, *, wide: bool) -> int:
    """Return the columns for the labels (6, 8, or more for names) and the axis; 0 for a narrow plot."""
    if width < _NO_GUTTER:
        return 0
    if wide:
        return min(max(width // 3, 7), 22)
    return 9 if width >= 60 else 7
