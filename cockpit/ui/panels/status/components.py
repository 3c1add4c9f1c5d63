"""The modules panel: each component with its key, its state, its loss and its gradient share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

import numpy as np
from textual.content import Content
from textual.style import Style

from cockpit.session.history.history import History
from cockpit.session.session import Session, SessionUpdate
from cockpit.text.format import escape_control, number, plural
from cockpit.ui.panels.status.header import value_style
from cockpit.ui.panels.toolkit.line_panel import LinePart, TitledLinePanel, cut, flow, link, padded, part
from cockpit.ui.panels.toolkit.symbols import ACTIVE, BAD, FAINT, GOOD, LABEL, STRONG, WAITING, WARN, Symbols, sparkline
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec

_WIDE: Final = 92
"""From this width on a component has one row of a table; below, two or three lines."""
_KEY, _NAME = 4, 24
"""The widths of the first two columns."""
_HEADINGS: Final = (
    ("weight", 8),
    ("raw loss", 10),
    ("chance level", 14),
    ("weighted", 10),
    ("share", 8),
    ("clamps", 8),
)
_SPARK: Final = 24
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


class ComponentsPanel(TitledLinePanel):
    """The components. A click on one acts like its number key; a click on its weight like the key of weights."""

    TITLE: ClassVar[str] = "Modules"
    HELP = "A number key switches one of them. Share: its gradient share where it meets the shared network."

    def __init__(self, *, marker: str = "braille", id: str | None = None) -> None:
        super().__init__(marker=marker, id=id)
        self._session: Session | None = None
        self._curves: dict[str, tuple[tuple[float, ...], str]] = {}
        self._tallies: dict[str, MetricSum] = {}

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Show the present state of the components."""
        self._session = session
        self.repaint_for(session, update)

    def lines(self, width: int) -> list[Content]:
        """Return a table if there is room, else a few lines for each component."""
        session = self._session
        if session is None or session.state is None:
            return [Content.styled("nothing to switch before the run has begun", LABEL)]
        spec = session.state.spec
        if not spec.components:
            return [Content.styled(f"no {plural(spec.component_noun)} to switch", LABEL)]
        used = _KEY + _NAME + sum(size for _, size in _HEADINGS)
        spark = min(_SPARK, max(width - used, 0)) if width >= _WIDE else min(width - 4, 12)
        rows = self._rows(session, session.state, spark)
        if width >= _WIDE:
            return [Content.styled(_heading(spec, spark), LABEL), *(cut(self._wide(row), width) for row in rows)]
        on = [row for row in rows if row.on or row.on_soon]
        off = [row for row in rows if row not in on]
        return [*(cut(line, width) for row in on for line in self._narrow(row, width)), *self._folded(off, width)]

    def _folded(self, rows: Sequence[Row], width: int) -> list[Content]:
        """Return one line of the components that are off, each a button: by name, first word, or key."""
        if not rows:
            return []
        full = [f" {escape_control(row.name)}" for row in rows]
        short = [name.partition("_")[0] for name in full]
        spelled = [full, *([short] if len(set(short)) == len(short) else []), [""] * len(rows)]
        lines = [self._off(rows, names) for names in spelled]
        return [next((line for line in lines if line.cell_length <= width), cut(lines[-1], width))]

    def _off(self, rows: Sequence[Row], names: Sequence[str]) -> Content:
        pieces = [Content.styled(f"{self.signs.off} off:", FAINT)]
        for row, name in zip(rows, names, strict=True):
            text = Content.assemble((row.key, f"bold {ACTIVE}"), (name, FAINT))
            pieces.append(text.stylize(Style.from_meta({"ask": "toggle", "argument": row.name})))
        return Content("  ").join(pieces)

    def _rows(self, session: Session, state: RunState, spark: int) -> list[Row]:
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
            self._curves[name] = key, _drawn(history, name, columns, self.signs)
        return self._curves[name][1]

    def _switch(self, row: Row) -> Content:
        """Return key and state of a component, and its pending state."""
        sign, style = (self.signs.on, f"bold {GOOD}") if row.on else (self.signs.off, FAINT)
        text = Content.assemble((f"{row.key or ' '} ", f"bold {ACTIVE}"), (sign, style))
        if row.on is not row.on_soon:
            text += Content.styled(f" -> {'on' if row.on_soon else 'off'} {self.signs.dots}", WAITING)
        return text

    def _wide(self, row: Row) -> Content:
        switch = self._switch(row)
        room = max(_KEY + _NAME - switch.cell_length - 1, 8)
        name = Content.styled(f" {padded(escape_control(row.name), room)}", STRONG if row.on else FAINT)
        toggle = (switch + name).stylize(Style.from_meta({"ask": "toggle", "argument": row.name}))
        if not row.on:
            return toggle + Content.styled(row.absence, FAINT)
        cells = (
            self._weight(row),
            Content.styled(number(row.raw), value_style(row.raw, row.chance)),
            Content.styled(number(row.chance, 3), LABEL),
            Content.styled(number(row.weighted), STRONG),
            Content.styled(_percent(row.share), _share_style(row.share)),
            Content.styled(str(row.hits) if row.term else "-", WARN if row.hits else LABEL),
        )
        columns = zip(cells, _HEADINGS, strict=True)
        spaced = [piece for cell, (_, size) in columns for piece in (cell, " " * max(size - cell.cell_length, 1))]
        return Content.assemble(toggle, *spaced, (row.spark, ACTIVE))

    def _narrow(self, row: Row, width: int) -> Iterable[Content]:
        name = Content.styled(f" {escape_control(row.name)}", STRONG if row.on else FAINT)
        toggle = (self._switch(row) + name).stylize(Style.from_meta({"ask": "toggle", "argument": row.name}))
        if not row.on:
            yield toggle
            return
        first = [LinePart(toggle), part("share", _percent(row.share), _share_style(row.share))]
        used = sum(piece.content.cell_length + 2 for piece in first)
        pieces: list[LinePart] = []
        (first if used + len(row.spark) <= width else pieces).append(part("", row.spark, ACTIVE))
        yield from flow(first, width)
        if row.term:
            pieces.append(LinePart(part("raw", number(row.raw), value_style(row.raw, row.chance)).content))
            pieces.append(part("chance", number(row.chance, 3), LABEL))
            pieces.append(
                LinePart(
                    Content.assemble(("x ", LABEL), self._weight(row), (" = ", LABEL), (number(row.weighted), STRONG))
                )
            )
            if row.hits:
                pieces.append(part("clamps", str(row.hits), WARN))
        yield from (Content("   ") + line for line in flow(pieces, max(width - 3, 1)))

    def _weight(self, row: Row) -> Content:
        if not row.term:
            return Content.styled("-", LABEL)
        text = link(number(row.weight, 3), "weight", row.term, STRONG)
        if row.weight_soon != row.weight:
            text += Content.styled(f" -> {number(row.weight_soon, 3)} {self.signs.dots}", WAITING)
        return text


def _heading(spec: TaskSpec, spark: int) -> str:
    columns = "".join(padded(title, size) for title, size in _HEADINGS)
    return f"{'':{_KEY}}{padded(escape_control(spec.component_noun), _NAME)}{columns}{'over the run'[:spark]}"


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


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{100 * share:.0f} %" if math.isfinite(share) else number(share)


def _share_style(share: float | None) -> str:
    if share is None:
        return LABEL
    return BAD if not math.isfinite(share) else f"bold {WARN}" if share > 0.5 else STRONG


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
