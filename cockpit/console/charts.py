"""Print curves with the charts of the screen: one chart for each metric, below its facts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Final

import numpy as np
from rich.text import Text

from cockpit.charts.annotations.marks import Marks, head, marks_of
from cockpit.charts.annotations.past import GRADIENT_BOUND, past_of
from cockpit.charts.chart_specs import Spec, chance_of, charts_for
from cockpit.charts.columns.window import StepAxis
from cockpit.charts.draw.canvas import ink_of
from cockpit.charts.draw.glyphs import ASCII, BRAILLE, Glyphs
from cockpit.charts.draw.plot import draw
from cockpit.charts.inks import Ink
from cockpit.charts.inputs import ChartInputs, Options
from cockpit.charts.scale import FREE
from cockpit.charts.view import View
from cockpit.console.curves import MetricCurve, fact_lines, read_curves, summary_metrics
from cockpit.session.history.history import History
from cockpit.session.run_summary import chance_levels, gradient_bound_of
from cockpit.text.event_info import MarkKind
from engine.journal.reader import Entry, JournalReader
from engine.journal.series import RowBlock, Rows
from engine.journal.task_meta import ATTACHED, attached_of
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.task_spec import NO_SPEC, TaskSpec

_MARKED: Final = (MarkKind.INTERVENTION, MarkKind.PHASE, MarkKind.ROLLBACK, MarkKind.ALERT, MarkKind.NOTE)
"""The kinds of marks on a printed chart; checkpoints are too many for a chart without colours."""

_STYLES: Final[Mapping[Ink, str]] = {
    Ink.LABEL: "dim",
    Ink.FAINT: "dim",
    Ink.CHANCE: "dim",
    Ink.BOUND: "red",
    Ink.CLIP: "yellow",
    Ink.ALERT: "bold red",
    Ink.INTERVENTION: "yellow",
    Ink.PHASE: "green",
    Ink.NOTE: "magenta",
    Ink.CURVE_0: "cyan",
    Ink.RAW_0: "dim",
}
"""Styles by the terminal's own palette, which suits a dark and a light background."""

_MIN_COLUMNS: Final = 20
_MIN_ROWS: Final = 6


@record
class PrintedCurves:
    """The curves of a run, its events, and the levels that its charts show."""

    curves: Sequence[MetricCurve]
    entries: Sequence[Entry] = ()
    spec: TaskSpec = NO_SPEC
    state: RunState | None = None
    chance: Mapping[str, float] = field(default_factory=dict[str, float])
    bound: float = GRADIENT_BOUND
    axis: StepAxis | None = None
    """The horizontal axis of the charts; `None` for the step."""

    @property
    def marks(self) -> Marks:
        """Return the marks on every chart."""
        return Marks.of(mark for mark in marks_of(self.entries, self.spec) if mark.kind in _MARKED)


def read_printed(reader: JournalReader, keys: Sequence[str], entries: Sequence[Entry]) -> PrintedCurves:
    """Return the metrics `keys` of a journal whose events are `entries`. Raises UserError."""
    bound = gradient_bound_of(reader.meta("sessions"), attached_of(reader.meta(ATTACHED))) or GRADIENT_BOUND
    return PrintedCurves(
        read_curves(reader, keys), entries, reader.spec(), reader.state(), chance_levels(reader), bound
    )


def chart_lines(printed: PrintedCurves, *, width: int, ascii_only: bool = False, height: int = 10) -> list[Text]:
    """Return every curve's facts and chart, with an empty line after each, and last the meaning of the marks.

    A line has at most `width` (20 or more) cells, a chart `height` (6 or more) rows.
    """
    glyphs = ASCII if ascii_only else BRAILLE
    width, height = max(width, _MIN_COLUMNS), max(height, _MIN_ROWS)
    inputs = _inputs(printed)
    lines: list[Text] = []
    for curve in printed.curves:
        lines += map(Text, fact_lines(curve, width, chance=chance_of(curve.name, printed.chance)))
        if curve.drawable.any():
            lines += _chart(curve, inputs, (width, height), glyphs)
        lines.append(Text())
    if printed.axis is not None:
        lines.insert(len(lines) - 1, Text(f"x axis: {printed.axis.kind}"))
    return [*lines, *_marks_legend(printed.marks, glyphs)]


def curves_text(reader: JournalReader, entries: Sequence[Entry], *, width: int, ascii_only: bool) -> list[Text]:
    """Return the charts of total loss, the task's score and gradient norm as lines."""
    printed = read_printed(reader, summary_metrics(reader.spec()), entries)
    return chart_lines(printed, width=width, ascii_only=ascii_only)


def _inputs(printed: PrintedCurves) -> ChartInputs:
    return ChartInputs(
        source=_history(printed.curves),
        view=View(),
        marks=printed.marks,
        chance=printed.chance,
        state=printed.state,
        past=past_of(printed.entries, printed.state),
        bound=printed.bound,
        axis=printed.axis,
    )


def _history(curves: Iterable[MetricCurve]) -> History:
    """Return a history with the curves as the only metrics, absent at the steps that did not record them."""
    known = [curve for curve in curves if curve.steps.size]
    history = History()
    if known:
        steps = np.unique(np.concatenate([curve.steps for curve in known]))
        blocks = (
            RowBlock(
                number, (curve.name,), np.searchsorted(steps, curve.steps), curve.values[:, None].astype(np.float32)
            )
            for number, curve in enumerate(known)
        )
        history.append("steps", Rows(steps, tuple(blocks)))
    return history


def _chart(curve: MetricCurve, inputs: ChartInputs, size: tuple[int, int], glyphs: Glyphs) -> Iterator[Text]:
    charts = () if inputs.state is None else charts_for(inputs.state.spec)
    bounds = next((chart.bounds for chart in charts if curve.name in chart.metrics), FREE)
    spec = Spec(curve.name, curve.name, metrics=(curve.name,), log=curve.log, bounds=bounds)
    canvas = draw(spec, Options.of(spec), inputs, size, glyphs, frame="none").canvas
    for y in range(canvas.height):
        line = Text()
        for piece, style in canvas.runs(y):
            line.append(piece, _STYLES.get(ink_of(style), ""))
        line.rstrip()
        yield line


def _marks_legend(marks: Marks, glyphs: Glyphs) -> Iterator[Text]:
    kinds = sorted({mark.kind for mark in marks.marks}, key=_MARKED.index)
    if kinds:
        yield Text("marks: " + ", ".join(f"{head(kind, glyphs.signs)} {kind.name.lower()}" for kind in kinds))
