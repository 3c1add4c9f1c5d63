"""Draw curves with plotext, from at most two points per column, so that no spike is lost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby, pairwise
from threading import Lock
from typing import Final

import numpy as np
import plotext
from numpy.typing import NDArray

from cockpit.charts.scale import Scale
from cockpit.charts.ticks import value_ticks
from cockpit.console.curves import MetricCurve, fact_lines
from cockpit.text.event_text import info_of
from engine.journal.reader import Entry
from engine.protocol.record import record

_PLOTEXT: Final = Lock()
"""plotext has one figure for the whole process."""


@record
class _Glyphs:
    """The marker of plotext for lines, and characters for points, values that cannot be drawn and interventions."""

    line: str
    point: str
    cross: str
    mark: str
    frame: dict[int, int]


_BRAILLE: Final = _Glyphs("braille", "•", "\N{MULTIPLICATION SIGN}", "▼", {})
_ASCII: Final = _Glyphs("*", "*", "x", "v", str.maketrans("│┤├┬┴┼─└┘┌┐", "|+++++-++++"))
_MIN_COLUMNS: Final = 20
_TICKS: Final = 5


def marked_steps(entries: Iterable[Entry]) -> tuple[int, ...]:
    """Return the steps at which the training was changed: the marks on every curve."""
    marks = ((entry.step, info_of(entry.event).mark) for entry in entries)
    return tuple(sorted({step for step, mark in marks if mark is not None and mark.is_change}))


def plotext_lines(
    curve: MetricCurve, marks: tuple[int, ...] = (), *, width: int, height: int = 12, ascii_only: bool = False
) -> list[str]:
    """Return a curve's facts and chart as lines of at most `width` (20 or more) characters."""
    width = max(width, _MIN_COLUMNS)
    lines = fact_lines(curve, width)
    if curve.drawable.any():
        lines += _chart(curve, marks, (width, max(height, 6)), _ASCII if ascii_only else _BRAILLE)
    return lines


def _chart(curve: MetricCurve, marks: tuple[int, ...], size: tuple[int, int], glyphs: _Glyphs) -> list[str]:
    scale = _scale(curve)
    first, last = int(curve.steps[0]), int(curve.steps[-1])
    across = Scale(first, max(last, first + 1))
    with _PLOTEXT:
        _clear(size)
        for steps, values in segments(curve, columns=size[0]):
            xs, ys = across.place(steps).tolist(), scale.place(np.log10(values) if scale.log else values).tolist()
            plotext.plot(xs, ys, marker=glyphs.line if len(xs) > 1 else glyphs.point)
        _scatter(across, curve.steps[~curve.drawable], height=0.0, marker=glyphs.cross)
        _scatter(across, np.array(marks, np.int64), height=1.0, marker=glyphs.mark)
        ticks = value_ticks(scale, _TICKS)
        plotext.yticks([scale.height(value) for value, _ in ticks], [label for _, label in ticks])
        labels = sorted({round(first + (last - first) * part / 4) for part in range(5)})
        plotext.xticks(across.place(np.array(labels, np.float64)).tolist(), [str(step) for step in labels])
        text = plotext.uncolorize(plotext.build())
        plotext.clear_figure()
    return [row.rstrip() for row in text.translate(glyphs.frame).splitlines()]


def _scatter(across: Scale, steps: NDArray[np.int64], *, height: float, marker: str) -> None:
    """Draw a row of markers at `steps`, without those that would overlap."""
    places = across.place(steps.astype(np.float64))
    xs: list[float] = np.unique(np.round(places[(places >= 0) & (places <= 1)], 3)).tolist()
    plotext.scatter(xs, [height] * len(xs), marker=marker)


def _clear(size: tuple[int, int]) -> None:
    plotext.clear_figure()
    plotext.limit_size(False, False)  # else plotext asks a terminal, which may not be there, for its size
    plotext.plot_size(*size)
    plotext.theme("clear")
    plotext.xaxes(True, False)
    plotext.yaxes(True, False)
    plotext.xlim(0, 1)
    plotext.ylim(0, 1)
    plotext.yfrequency(0)


def _scale(curve: MetricCurve) -> Scale:
    """Return the range of the values that can be drawn, widened if all are the same."""
    values = curve.values[curve.drawable]
    low, high = float(values.min()), float(values.max())
    if curve.log:
        low, high = math.log10(low), math.log10(high)
        return Scale(low - 0.5, high + 0.5, True) if high - low < 1e-6 else Scale(low, high, True)
    if high - low <= 1e-7 * max(abs(low), abs(high)):
        pad = max(abs(low), abs(high)) * 0.1 or 1.0
        return Scale(low - pad, high + pad)
    return Scale(low, high)


def segments(curve: MetricCurve, *, columns: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return the curve's lines as (steps, values): the least and greatest value of every column, steps ascending.

    A column in which no value can be drawn ends a line.
    """
    if curve.steps.size == 0:
        return []
    ok = curve.drawable
    span = max(int(curve.steps[-1] - curve.steps[0]), 1)
    column = ((curve.steps - curve.steps[0]) * (columns - 1)) // span
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    kept = [_extremes(curve.values, ok, start, end) for start, end in pairwise([*starts.tolist(), len(ok)])]
    lines = [[at for rows in run for at in rows] for drawn, run in groupby(kept, key=bool) if drawn]
    return [(curve.steps[line].astype(np.float64), curve.values[line]) for line in lines]


def _extremes(values: NDArray[np.float64], ok: NDArray[np.bool_], start: int, end: int) -> list[int]:
    """Return the positions of the least and the greatest of values[start:end], among those that are `ok`."""
    rows = start + np.flatnonzero(ok[start:end])
    if rows.size == 0:
        return []
    return sorted({int(rows[np.argmin(values[rows])]), int(rows[np.argmax(values[rows])])})
