"""Series that break charts, and charts of every kind around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.charts.annotations.marks import NO_MARKS, Mark, Marks
from cockpit.charts.chart_specs import Spec
from cockpit.charts.draw.canvas import Canvas
from cockpit.charts.draw.glyphs import MARKERS, Marker
from cockpit.charts.draw.plot import draw
from cockpit.charts.inputs import ChartInputs, Options
from cockpit.charts.view import View
from cockpit.text.event_info import MarkKind
from tests.charts.array_history import ArrayHistory

Values = NDArray[np.float64]


def _with(values: Values, at: Mapping[int, float]) -> Values:
    values = values.astype(np.float64)
    for place, value in at.items():
        values[place] = value
    return values


def _wave(count: int) -> Values:
    return 2 + np.sin(np.arange(count) / 9)


CASES: Final[dict[str, Callable[[], Values]]] = {
    "empty": lambda: np.empty(0),
    "one point": lambda: np.array([3.5]),
    "two points": lambda: np.array([1.0, 2.0]),
    "constant": lambda: np.full(300, 0.25),
    "constant zero": lambda: np.zeros(300),
    "one NaN": lambda: _with(_wave(300), {150: np.nan}),
    "one Inf": lambda: _with(_wave(300), {150: np.inf, 151: -np.inf}),
    "NaN and Inf together": lambda: _with(_wave(300), {150: np.inf, 151: np.nan}),
    "all NaN": lambda: np.full(300, np.nan),
    "all Inf": lambda: np.full(300, -np.inf),
    "only a NaN": lambda: np.array([np.nan]),
    "1e-12": lambda: _wave(300) * 1e-12,
    "1e12": lambda: _wave(300) * 1e12,
    "negative 1e-12": lambda: -_wave(300) * 1e-12,
    "both ends of float32": lambda: _with(_wave(300), {5: 3e38, 9: -3e38}),
    "both ends of float64": lambda: _with(_wave(300), {5: 1.7e308, 9: -1.7e308}),
    "negative": lambda: -_wave(300),
    "around zero": lambda: np.sin(np.arange(300) / 9),
    "almost constant": lambda: 1 + np.arange(300) * 1e-9,
    "huge outlier": lambda: _with(_wave(300), {150: 1e9}),
    "huge outlier below": lambda: _with(_wave(300), {150: -1e9}),
    "long": lambda: _with(np.sin(np.arange(20_000) / 900), {12_345: 1.5, 7_777: np.nan}),
}
KINDS: Final[dict[str, tuple[Spec, tuple[str, ...]]]] = {
    "lines": (Spec("l", "Lines", metrics=("m",)), ("m",)),
    "log lines": (Spec("l", "Log", metrics=("m",), log=True), ("m",)),
    "smoothed lines": (Spec("l", "Smooth", metrics=("m",), smoothing=0.9), ("m",)),
    "two curves": (Spec("l", "Two", metrics=("m", "n"), smoothing=0.6), ("m", "n")),
    "points": (Spec("l", "Points", metrics=("val/m",)), ("val/m",)),
    "bounded": (Spec("l", "Share", metrics=("m",), bounds=(0.0, 1.0)), ("m",)),
    "stack": (Spec("s", "Stack", kind="stack", metrics=("m", "n")), ("m", "n")),
    "heat": (Spec("h", "Heat", kind="heat", metrics=("m", "n")), ("m", "n")),
}
SIZES: Final = ((66, 15), (40, 12), (21, 7), (16, 6), (9, 4), (3, 2), (1, 1), (0, 5), (20, 0), (0, 0), (200, 50))
MARKS: Final = Marks.of(Mark(3 + 40 * kind, kind, f"kind {kind}") for kind in MarkKind)


def feed_of(
    history: ArrayHistory, *, view: View | None = None, marks: Marks = NO_MARKS, recent: bool = False
) -> ChartInputs:
    """What a chart of that history is drawn from."""
    return ChartInputs(history, view or View(), marks, {}, recent=recent)


def picture(spec: Spec, feed: ChartInputs, size: tuple[int, int], marker: Marker = "braille") -> Canvas:
    """The chart of `spec` at that size, as the widget draws it."""
    return draw(spec, Options.of(spec), feed, size, MARKERS[marker]).canvas


def history_of(metrics: tuple[str, ...], values: Values) -> ArrayHistory:
    """A history in which each of the metrics has these values."""
    return ArrayHistory.dense(dict.fromkeys(metrics, values))
