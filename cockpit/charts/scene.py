"""What one chart shows, as plain data: the picture is a pure function of it, of a size and of a marker set."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cockpit.charts.annotations.marks import NO_MARKS, Marks
from cockpit.charts.columns import Columns, ColumnWindow
from cockpit.charts.inks import Ink
from cockpit.charts.scale import FREE, Bounds, Scale


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric in a plot: a letter and a colour slot that tell it from the others, and its dot columns.

    `sparse` curves were measured now and then (a validation): their points are shown and joined. `chance` is what a
    network that knows nothing would score.
    """

    letter: str
    slot: int
    columns: Columns
    sparse: bool = False
    chance: float | None = None
    edges: tuple[float, float] = (math.nan, math.nan)
    """A sparse curve's values at the window's first and last column, between points of which one lies outside."""


@dataclass(frozen=True, slots=True)
class Level:
    """A line across a plot with a name: constant at `value`, or in `pieces` of (from where on, value), the last of now.

    From where on is a step in a run's history and a column in a plot.
    """

    value: float
    text: str
    ink: Ink
    pieces: tuple[tuple[int, float], ...] = ()
    short: str = ""
    """A shorter name for a plot without room for `text`; empty string for none."""

    @property
    def values(self) -> tuple[float, ...]:
        """Where the line lies, from left to right."""
        return tuple(value for _, value in self.pieces) or (self.value,)


@dataclass(frozen=True, slots=True)
class LineChart:
    """Curves over one value axis; `smoothing` 0 draws them as recorded. The axis never leaves `bounds`."""

    curves: tuple[Curve, ...]
    levels: tuple[Level, ...] = ()
    log: bool = False
    smoothing: float = 0.0
    bounds: Bounds = FREE


@dataclass(frozen=True, slots=True)
class Stack:
    """The share that each curve (one column per cell) has in the sum of all; negative values count by their size."""

    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One row of a heat strip (one column per cell)."""

    label: str
    columns: Columns


@dataclass(frozen=True, slots=True)
class Heat:
    """Rows of colour on one logarithmic scale; a cell shows the greatest value in it."""

    rows: tuple[HeatRow, ...]
    scale: Scale


Body = LineChart | Stack | Heat


@dataclass(frozen=True, slots=True)
class Pane:
    """One plot: the steps it shows, what is in it, and the cursor's step or None."""

    window: ColumnWindow
    body: Body
    marks: Marks = NO_MARKS
    cursor: int | None = None


@dataclass(frozen=True, slots=True)
class LegendItem:
    """A curve's letter, colour slot and name, its value at the cursor or its newest, and its chance level or ''.

    `short` is the shortest name that tells it from the others; '' for `label`.
    """

    letter: str
    slot: int
    label: str
    value: str
    chance: str = ""
    short: str = ""


@dataclass(frozen=True, slots=True)
class ChartScene:
    """A chart: one pane, or the whole run and the newest steps side by side. `tags` stand at the right of the title."""

    title: str
    panes: tuple[Pane, ...]
    legend: tuple[LegendItem, ...] = ()
    tags: tuple[str, ...] = ()
    focused: bool = False
    note: str = ""
    """Written into a plot that has nothing to show."""
    key: tuple[tuple[str, Ink], ...] = ()
    """Pieces of text in their colours, for a chart whose colours are a scale."""
