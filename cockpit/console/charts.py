"""Curves of a run straight from its journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.console.curves import PlotextCurve, curve_lines
from engine.journal.reader import Entry, JournalReader
from engine.protocol import events as e
from engine.protocol.task_spec import TaskSpec

_STEERING_MARKS: Final = (*e.LASTING_EVENTS, e.RolledBack)
_LOG_RATIO: Final = 10.0


def summary_metrics(spec: TaskSpec) -> tuple[str, ...]:
    """Return the metrics that tell how a run went: total loss, the task's score, gradient norm."""
    score = (f"val/{spec.score}",) if spec.score else ()
    return ("loss/total", *score, "grad_norm/total")


def marked_steps(entries: Iterable[Entry]) -> tuple[int, ...]:
    """The steps at which somebody changed what is trained or how: the marks on every curve."""
    return tuple(sorted({entry.step for entry in entries if isinstance(entry.event, _STEERING_MARKS)}))


def read_curves(reader: JournalReader, keys: Sequence[str], marks: tuple[int, ...] = ()) -> list[PlotextCurve]:
    """One curve per metric in `keys` along the current lineage; steps that did not record it are left out."""
    series = reader.series(keys)
    curves: list[PlotextCurve] = []
    for key in keys:
        present = series.present[key]
        values = series.values[key][present].astype(np.float64)
        curves.append(PlotextCurve(key, series.steps[present], values, _wants_log(key, values), marks))
    return curves


def _wants_log(key: str, values: NDArray[np.float64]) -> bool:
    """Norms always; other metrics where one value would press the rest of the curve flat."""
    finite = values[np.isfinite(values)]
    if key.startswith("grad_norm/"):
        return bool((finite > 0).any())
    return bool(finite.size and finite.min() > 0 and finite.max() > _LOG_RATIO * np.median(finite))


def chart_lines(curves: Iterable[PlotextCurve], *, width: int, ascii_only: bool = False, height: int = 10) -> list[str]:
    """The curves one below the other, a blank line after each."""
    return [
        line
        for curve in curves
        for line in (*curve_lines(curve, width=width, height=height, ascii_only=ascii_only), "")
    ]
