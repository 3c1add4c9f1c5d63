"""The gate to the next phase: its state, and its checks as a table or as lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.content import Content

from cockpit.session.activity.activity_text import OVER
from cockpit.text.format import escape_control
from cockpit.ui.panels.toolkit.line_parts import LinePart, cut, flow, link, padded, part
from cockpit.ui.panels.toolkit.symbols import BAD, GOOD, LABEL, STRONG, WARN, Symbols
from engine.protocol.commands import PromotePhase
from engine.protocol.state import GateCheck, RunState


def gate_lines(state: RunState, width: int, signs: Symbols) -> Iterable[Content]:
    """Yield whether the gate to the next phase is ready, and its checks."""
    if state.phase >= state.spec.last_phase:
        yield Content.styled("no gate: this is the last phase", LABEL)
        return
    red = sum(check.measured and not check.passed for check in state.gate)
    pending = sum(not check.measured for check in state.gate)
    said = (
        part("", "not measured yet", LABEL)
        if not state.gate
        else part("", f"{signs.failed} blocked, {red} of {len(state.gate)} red", BAD)
        if red
        else part("", f"- blocked, {pending} of {len(state.gate)} pending", WARN)
        if pending
        else part("", f"{signs.passed} ready", f"bold {GOOD}")
    )
    yield from flow(
        [part(f"gate to phase {state.phase + 1}", ""), said, *key_of(state, "[p]", "promote", PromotePhase.op)], width
    )
    yield from _checks(state.gate, width, signs)


def _checks(checks: Sequence[GateCheck], width: int, signs: Symbols) -> Iterable[Content]:
    """Yield a table if every check fits on one line, else several lines per check."""
    rows = [(escape_control(check.name), escape_control(check.value), escape_control(check.bound)) for check in checks]
    names, values, bounds = (max((len(row[at]) for row in rows), default=0) for at in (0, 1, 2))
    is_table = 8 + names + values + bounds <= width
    for check, (name, value, bound) in zip(checks, rows, strict=True):
        pending = ("-", LABEL) if not check.measured else (signs.failed, BAD)
        sign, style = (signs.passed, GOOD) if check.passed else pending
        title = Content.styled(f"  {sign} {padded(name, names) if is_table else name}  ", style)
        measured = Content.assemble((padded(value, values) if is_table else value, STRONG), (f"  {bound}", LABEL))
        if title.cell_length + measured.cell_length <= width:
            yield title + measured
        else:
            yield cut(title, width)
            yield from (cut(Content("    ") + line, width) for line in measured.wrap(max(width - 4, 1)))


def key_of(state: RunState, text: str, action: str, op: str) -> list[LinePart]:
    """Return the key of `action` as a link; empty list after the end of the run, or if its command is unsupported."""
    return [] if state.activity in OVER or state.spec.why_unsupported(op) else [LinePart(link(text, action))]
