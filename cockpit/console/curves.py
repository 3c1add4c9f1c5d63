"""Curves in characters, drawn by plotext from at most two points per column, so that no spike is lost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise
from threading import Lock
from typing import Final

import numpy as np
import plotext
from numpy.typing import NDArray

from cockpit.console.axis import Axis
from cockpit.text.format import escape_control, number

_PLOTEXT: Final = Lock()
"""plotext keeps one figure for the whole process."""


@dataclass(frozen=True, slots=True)
class _Glyphs:
    """plotext's marker for lines, characters for single points, values that cannot be drawn and interventions."""

    line: str
    point: str
    cross: str
    mark: str
    frame: dict[int, int]


_BRAILLE: Final = _Glyphs("braille", "•", "\N{MULTIPLICATION SIGN}", "▼", {})
_ASCII: Final = _Glyphs("*", "*", "x", "v", str.maketrans("│┤├┬┴┼─└┘┌┐", "|+++++-++++"))
_MIN_COLUMNS: Final = 20


@dataclass(frozen=True, slots=True)
class PlotextCurve:
    """One metric over steps (ascending; values may be NaN or Inf) and the steps at which somebody intervened."""

    name: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    log: bool = False
    marks: tuple[int, ...] = ()


def curve_lines(curve: PlotextCurve, *, width: int, height: int = 12, ascii_only: bool = False) -> list[str]:
    """The curve as text lines of at most `width` (20 or more) characters: what the values were, then the chart."""
    width = max(width, _MIN_COLUMNS)
    name = f"{escape_control(curve.name)} (log scale)" if curve.log else escape_control(curve.name)
    lines = list(_wrapped([name, *_facts(curve)], width))
    if _drawable(curve).any():
        lines += _chart(curve, (width, max(height, 6)), _ASCII if ascii_only else _BRAILLE)
    return lines


def _drawable(curve: PlotextCurve) -> NDArray[np.bool_]:
    finite = np.isfinite(curve.values)
    return finite & (curve.values > 0) if curve.log else finite


def _facts(curve: PlotextCurve) -> Iterator[str]:
    """What a chart cannot say: the last, least and greatest value, and the points that are not on it."""
    if curve.values.size == 0:
        yield "no values yet"
        return
    yield f"last {number(float(curve.values[-1]))}"
    finite = np.flatnonzero(np.isfinite(curve.values))
    if finite.size:
        for word, at in (("min", np.argmin(curve.values[finite])), ("max", np.argmax(curve.values[finite]))):
            yield f"{word} {number(float(curve.values[finite[at]]))} at step {curve.steps[finite[at]]}"
    yield from _left_out(curve)


def _left_out(curve: PlotextCurve) -> Iterator[str]:
    kinds = (("NaN", np.isnan(curve.values)), ("Inf", np.isinf(curve.values)))
    for word, where in kinds:
        if where.any():
            yield f"{np.count_nonzero(where)} {word}, first at step {curve.steps[np.argmax(where)]}"
    if curve.log and (curve.values <= 0).any():
        yield f"{np.count_nonzero(np.isfinite(curve.values) & (curve.values <= 0))} not above 0"


def _wrapped(parts: list[str], width: int) -> Iterator[str]:
    line = ""
    for part in parts:
        if line and len(line) + 2 + len(part) > width:
            yield line[:width]
            line = ""
        line = f"{line}  {part}" if line else part
    yield line[:width]


def _chart(curve: PlotextCurve, size: tuple[int, int], glyphs: _Glyphs) -> list[str]:
    axis = _axis(curve)
    first, last = int(curve.steps[0]), int(curve.steps[-1])
    across = Axis(first, max(last, first + 1))
    with _PLOTEXT:
        _clear(size)
        for steps, values in segments(curve, columns=size[0]):
            xs, ys = across.place(steps).tolist(), axis.place(values).tolist()
            plotext.plot(xs, ys, marker=glyphs.line if len(xs) > 1 else glyphs.point)
        _scatter(across, curve.steps[~_drawable(curve)], height=0.0, marker=glyphs.cross)
        _scatter(across, np.array(curve.marks, np.int64), height=1.0, marker=glyphs.mark)
        plotext.yticks(*axis.ticks())
        labels = sorted({round(first + (last - first) * part / 4) for part in range(5)})
        plotext.xticks(across.place(np.array(labels, np.float64)).tolist(), [str(step) for step in labels])
        text = plotext.uncolorize(plotext.build())
        plotext.clear_figure()
    return [row.rstrip() for row in text.translate(glyphs.frame).splitlines()]


def _scatter(across: Axis, steps: NDArray[np.int64], *, height: float, marker: str) -> None:
    """A row of markers at `steps`, as many as can be told apart."""
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


def _axis(curve: PlotextCurve) -> Axis:
    """The range of what can be drawn, opened a little where all values are the same."""
    values = curve.values[_drawable(curve)]
    low, high = float(values.min()), float(values.max())
    if curve.log:
        low, high = math.log10(low), math.log10(high)
        return Axis(low - 0.5, high + 0.5, True) if high - low < 1e-6 else Axis(low, high, True)
    if high - low <= 1e-7 * max(abs(low), abs(high)):
        pad = max(abs(low), abs(high)) * 0.1 or 1.0
        return Axis(low - pad, high + pad)
    return Axis(low, high)


def segments(curve: PlotextCurve, *, columns: int) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The curve's lines as (steps, values): least and greatest value of every column, in order of time.

    A column that holds nothing but values that cannot be drawn ends a line; the next one that can begins another.
    """
    if curve.steps.size == 0:
        return []
    ok = _drawable(curve)
    span = max(int(curve.steps[-1] - curve.steps[0]), 1)
    column = ((curve.steps - curve.steps[0]) * (columns - 1)) // span
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    kept = [_extremes(curve.values, ok, start, end) for start, end in pairwise([*starts.tolist(), len(ok)])]
    lines = [[at for rows in run for at in rows] for drawn, run in groupby(kept, key=bool) if drawn]
    return [(curve.steps[line].astype(np.float64), curve.values[line]) for line in lines]


def _extremes(values: NDArray[np.float64], ok: NDArray[np.bool_], start: int, end: int) -> list[int]:
    """Where values[start:end] is least and greatest, leaving out what is not `ok`."""
    rows = start + np.flatnonzero(ok[start:end])
    if rows.size == 0:
        return []
    return sorted({int(rows[np.argmin(values[rows])]), int(rows[np.argmax(values[rows])])})
