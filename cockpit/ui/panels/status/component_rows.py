"""The values of the components of a run, read from its state and its history."""

from __future__ import annotations

from typing import Final

import numpy as np

from cockpit.session.history.history import History
from cockpit.session.session import Session
from cockpit.text.format import escape_control
from cockpit.ui.panels.toolkit.symbols import Symbols, sparkline
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec

_KEYS_END: Final = 10
"""The first component without a number key."""


@record
class Row:
    """Values of one component; `None` for those it lacks or that were not measured. `absence`: why it is off."""

    key: str
    name: str
    term: str
    on: bool
    on_soon: bool
    weight: float | None
    weight_soon: float | None
    raw: float | None
    weighted: float | None
    chance: float | None
    share: float | None
    hits: int
    spark: str
    absence: str = ""


class ComponentRows:
    """Reads the components of one run. Sparklines and sums are kept, and cost only what is new."""

    def __init__(self, signs: Symbols) -> None:
        self._signs = signs
        self._curves: dict[str, tuple[tuple[float, ...], str]] = {}
        self._tallies: dict[str, MetricSum] = {}

    def of(self, session: Session, state: RunState, spark: int) -> list[Row]:
        """Return the rows of all components, each with a sparkline of `spark` characters."""
        soon = session.soon.state
        return [
            self._row(session, (state, soon), name, str(key) if key < _KEYS_END else "", spark)
            for key, name in enumerate(state.spec.component_names, start=1)
        ]

    def _row(self, session: Session, states: tuple[RunState, RunState], name: str, key: str, spark: int) -> Row:
        (state, soon), history = states, session.history
        term, on = state.spec.term_of(name), name in state.refinements
        measured = on and bool(term)
        curve = f"loss_raw/{term}" if term else f"grad_norm/{name}"
        return Row(
            key=key,
            name=name,
            term=term,
            on=on,
            on_soon=name in soon.refinements,
            weight=state.loss_weights.get(term) if term else None,
            weight_soon=soon.loss_weights.get(term) if term else None,
            raw=history.newest(f"loss_raw/{term}") if measured else None,
            weighted=history.newest(f"loss/{term}") if measured else None,
            chance=session.chance.get(term) if measured else None,
            share=_share(history, name) if on else None,
            hits=self._hits(history, term) if term else 0,
            spark=self._curve(history, curve, spark) if on else "",
            absence=_absence(state.spec, name),
        )

    def _hits(self, history: History, term: str) -> int:
        tally = self._tallies.setdefault(term, MetricSum(f"clamp_hits/{term}"))
        return tally.count(history)

    def _curve(self, history: History, name: str, columns: int) -> str:
        """Return the sparkline of a metric, drawn again after a quarter of a column."""
        first, last = history.first_step, history.last_step
        if columns < 4 or last < first or name not in history.names:
            return ""
        grain = max((last - first + 1) // (4 * columns), 1)
        key = (columns, first, last // grain, history.loading)
        if self._curves.get(name, ((), ""))[0] != key:
            self._curves[name] = key, _drawn(history, name, columns, self._signs)
        return self._curves[name][1]


def _absence(spec: TaskSpec, name: str) -> str:
    """Return why a component is off."""
    phase = next((number for number, phase in enumerate(spec.phases) if name in phase.adds), None)
    if phase is not None:
        return f"off, comes with phase {phase}"
    rivals = sorted(spec.rivals(name, frozenset(spec.component_names)))
    return "off, in no phase" + (f", excludes {escape_control(', '.join(rivals))}" if rivals else "")


def _share(history: History, name: str) -> float | None:
    """Return the gradient share (0..1) of a component; of its module's norm if the share was not measured."""
    share = history.newest(f"grad_share/{name}")
    if share is not None:
        return share
    own, total = history.newest(f"grad_norm/{name}"), history.newest("grad_norm/total")
    return own / total if own is not None and total else None


def _drawn(history: History, name: str, columns: int, signs: Symbols) -> str:
    """Return the sparkline of a metric in `columns` characters, with a sign for non-finite values."""
    first, last = history.first_step, history.last_step
    held = history.buckets(name, first=first, last=last + 1, columns=min(columns, last - first + 1))
    means = np.where(held.nan_C | held.inf_C, np.inf, held.mean_C)
    return sparkline(means.tolist(), signs)


class MetricSum:
    """The sum of a counting metric over the whole history; each update costs only its new rows."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._range = (0, 0)
        self._loading = 0.0
        self._sum = 0.0

    def count(self, history: History) -> int:
        """Return the sum of all recorded finite values."""
        first, last = history.first_step, history.last_step
        grown = first == self._range[0] and last >= self._range[1] and history.loading == self._loading
        start = self._range[1] + 1 if grown else first
        _, values = history.rows(self._name, start, last)
        self._sum = (self._sum if grown else 0.0) + float(values[np.isfinite(values)].sum())
        self._range, self._loading = (first, last), history.loading
        return round(self._sum)
