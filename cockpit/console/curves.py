"""Metrics of a run as they were recorded, and the facts that a chart of them cannot show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cockpit.text.format import escape_control, number
from engine.journal.reader import JournalReader
from engine.protocol.record import record
from engine.protocol.task_spec import TaskSpec

_LOG_RATIO: Final = 10.0
_MIN_COLUMNS: Final = 20


@record
class MetricCurve:
    """One metric over ascending steps; its values may be NaN or Inf. `log` asks for a logarithmic axis."""

    name: str
    steps: NDArray[np.int64]
    values: NDArray[np.float64]
    log: bool = False

    @property
    def drawable(self) -> NDArray[np.bool_]:
        """Return which values the axis can show: the finite ones, on a logarithmic axis those above 0."""
        finite = np.isfinite(self.values)
        return finite & (self.values > 0) if self.log else finite


def summary_metrics(spec: TaskSpec) -> tuple[str, ...]:
    """Return the metrics that summarise a run: total loss, the task's score, gradient norm."""
    score = (f"val/{spec.score}",) if spec.score else ()
    return ("loss/total", *score, "grad_norm/total")


def read_curves(reader: JournalReader, keys: Sequence[str]) -> list[MetricCurve]:
    """Return one curve for each metric in `keys` along the current lineage, at the steps that recorded it."""
    series = reader.series(keys)
    curves: list[MetricCurve] = []
    for key in keys:
        present = series.present[key]
        values = series.values[key][present].astype(np.float64)
        curves.append(MetricCurve(key, series.steps[present], values, _wants_log(key, values)))
    return curves


def _wants_log(key: str, values: NDArray[np.float64]) -> bool:
    """Return `True` for norms, and for metrics in which one value would flatten the rest of the curve."""
    finite = values[np.isfinite(values)]
    if key.startswith("grad_norm/"):
        return bool((finite > 0).any())
    return bool(finite.size and finite.min() > 0 and finite.max() > _LOG_RATIO * np.median(finite))


def fact_lines(curve: MetricCurve, width: int, *, chance: float | None = None) -> list[str]:
    """Return the curve's name and facts as lines of at most `width` (20 or more) characters."""
    name = f"{escape_control(curve.name)} (log scale)" if curve.log else escape_control(curve.name)
    level = () if chance is None else (f"chance level {number(chance)}",)
    return list(_wrapped([name, *_facts(curve), *level], max(width, _MIN_COLUMNS)))


def _facts(curve: MetricCurve) -> Iterator[str]:
    """Yield the last, least and greatest value, and the values that no axis can show."""
    if curve.values.size == 0:
        yield "no values yet"
        return
    yield f"last {number(float(curve.values[-1]))}"
    finite = np.flatnonzero(np.isfinite(curve.values))
    for word, pick in (("min", np.argmin), ("max", np.argmax)) if finite.size else ():
        at = finite[pick(curve.values[finite])]
        yield f"{word} {number(float(curve.values[at]))} at step {curve.steps[at]}"
    flaws = (("NaN", np.isnan(curve.values)), ("Inf", np.isinf(curve.values)))
    for word, where in (flaw for flaw in flaws if flaw[1].any()):
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
