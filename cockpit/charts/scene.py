"""The content of one chart as plain data: the picture is a pure function of it, a size and a marker set."""

from __future__ import annotations

import math

import numpy as np

from cockpit.charts.annotations.marks import NO_MARKS, Marks
from cockpit.charts.columns.source import Columns
from cockpit.charts.columns.window import ColumnWindow
from cockpit.charts.inks import Ink
from cockpit.charts.scale import FREE, Bounds, Scale
from engine.protocol.record import record


@record
class Curve:
    """One metric in a plot: its letter, its colour slot and its dot columns.

    `sparse` curves were measured at some steps only, such as at validations: their points are shown and joined.
    `chance` is the value for a uniform prediction, or `None`.
    """

    letter: str
    slot: int
    columns: Columns
    sparse: bool = False
    chance: float | None = None
    edges: tuple[float, float] = (math.nan, math.nan)
    """A sparse curve's values at the window's first and last column, interpolated to points outside."""

    @property
    def has_values(self) -> bool:
        """Return whether the window has a finite value of it, or a line between two points outside."""
        return bool(np.isfinite(self.columns.high_C).any() or np.isfinite(self.edges).any())


@record
class Level:
    """A named line across a plot: constant at `value`, or in `pieces` of (start, value), the newest last.

    A start is a step in a run's history and a column in a plot.
    """

    value: float
    text: str
    ink: Ink
    pieces: tuple[tuple[int, float], ...] = ()
    short: str = ""
    """A shorter name for a plot without room for `text`; empty string for none."""

    @property
    def values(self) -> tuple[float, ...]:
        """Return the values of the line, from left to right."""
        return tuple(value for _, value in self.pieces) or (self.value,)


@record
class LineChart:
    """Curves over one value axis; `smoothing` 0 draws them as recorded. The axis keeps to `bounds`."""

    curves: tuple[Curve, ...]
    levels: tuple[Level, ...] = ()
    log: bool = False
    smoothing: float = 0.0
    bounds: Bounds = FREE
    locked: Scale | None = None
    """The range of the value axis; `None` for one that follows the values."""
    under: tuple[Curve, ...] = ()
    """Curves of other runs, drawn dim and dotted where nothing else is."""

    @property
    def has_values(self) -> bool:
        """Return whether there is a curve to draw."""
        return any(curve.has_values for curve in (*self.curves, *self.under))


@record
class Stack:
    """The share of each curve (one column per cell) in the sum of absolute values."""

    curves: tuple[Curve, ...]

    @property
    def has_values(self) -> bool:
        """Return whether there is a band to draw."""
        return any(curve.has_values for curve in self.curves)


@record
class HeatRow:
    """One row of a heat strip (one column per cell): a module's name, its shortest unique one, and its value."""

    label: str
    columns: Columns
    short: str
    value: str


@record
class Heat:
    """Rows of colour on one logarithmic scale; a cell shows its greatest value."""

    rows: tuple[HeatRow, ...]
    scale: Scale

    @property
    def has_values(self) -> bool:
        """Return whether there is a colour to draw."""
        return any(np.isfinite(row.columns.high_C).any() for row in self.rows)


Body = LineChart | Stack | Heat


@record
class Pane:
    """One plot: its steps, its content, its marks, and the cursor's step or `None`."""

    window: ColumnWindow
    body: Body
    marks: Marks = NO_MARKS
    cursor: int | None = None


@record
class LegendItem:
    """Legend entry of a curve: letter, colour slot, name, value, and chance level or empty string.

    The value is the one at the cursor, or the newest. `short` is the shortest unique name; empty string for `label`.
    """

    letter: str
    slot: int
    label: str
    value: str
    chance: str = ""
    short: str = ""


@record
class ChartScene:
    """A chart: one pane, or the whole run and the newest steps next to each other. `tags` are right of the title."""

    title: str
    panes: tuple[Pane, ...]
    legend: tuple[LegendItem, ...] = ()
    tags: tuple[str, ...] = ()
    focused: bool = False
    note: str = ""
    """Text in each plot if the run has nothing to show; empty string otherwise."""
    key: tuple[tuple[str, Ink], ...] = ()
    """Pieces of text in their colours, for a chart with a colour scale."""
