"""The modules panel: each component with its key, its state, its loss and its gradient share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from textual.content import Content
from textual.style import Style

from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.format import escape_control, number, plural
from cockpit.ui.panels.status.component_rows import ComponentRows, Row
from cockpit.ui.panels.status.measures import value_style
from cockpit.ui.panels.toolkit.line_panel import TitledLinePanel
from cockpit.ui.panels.toolkit.line_parts import LinePart, cut, flow, link, padded, part
from cockpit.ui.panels.toolkit.symbols import ACTIVE, BAD, FAINT, GOOD, LABEL, STRONG, WAITING, WARN
from engine.protocol.task_spec import TaskSpec

_SPARK: Final = 24
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


class ComponentsPanel(TitledLinePanel):
    """The components. A click on one acts like its number key; a click on its weight like the key of weights."""

    TITLE: ClassVar[str] = "Modules"
    HELP = "A number key switches one of them. Share: its gradient share where it meets the shared network."

    def __init__(self, *, marker: str = "braille", id: str | None = None) -> None:
        super().__init__(marker=marker, id=id)
        self._session: Session | None = None
        self._rows = ComponentRows(self.signs)

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
        rows = self._rows.of(session, session.state, spark)
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
            weighted = (("x ", LABEL), self._weight(row), (" = ", LABEL), (number(row.weighted), STRONG))
            pieces.append(part("raw", number(row.raw), value_style(row.raw, row.chance)))
            pieces.append(part("chance", number(row.chance, 3), LABEL))
            pieces.append(LinePart(Content.assemble(*weighted)))
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


def _percent(share: float | None) -> str:
    if share is None:
        return "-"
    return f"{100 * share:.0f} %" if math.isfinite(share) else number(share)


def _share_style(share: float | None) -> str:
    if share is None:
        return LABEL
    return BAD if not math.isfinite(share) else f"bold {WARN}" if share > 0.5 else STRONG
