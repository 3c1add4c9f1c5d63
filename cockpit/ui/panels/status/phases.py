"""The phases panel: the present phase, the additions of the next one, and the state of its gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from textual.content import Content

from cockpit.session.activity_text import OVER
from cockpit.session.session import Session, SessionUpdate
from cockpit.text.format import escape_control
from cockpit.ui.panels.records.config_values import ConfigValues
from cockpit.ui.panels.toolkit.line_panel import (
    LinePart,
    TitledLinePanel,
    cut,
    flow,
    link,
    padded,
    part,
    since,
    wrapped,
)
from cockpit.ui.panels.toolkit.symbols import ACTIVE, BAD, FAINT, GOOD, LABEL, STRONG, WAITING, WARN, bar
from engine.journal.reader import Entry
from engine.protocol.commands import PromotePhase, SetAutopilot
from engine.protocol.events import AutopilotDecided
from engine.protocol.state import GateCheck, RunState
from engine.protocol.task_spec import Phase

_WIDE: Final = 56
"""From this width on a phase has one line."""


class PhasesPanel(TitledLinePanel):
    """The phases, the gate to the next one, the probation, the blending and the autopilot."""

    TITLE: ClassVar[str] = "Phases"
    HELP = "Each phase adds components. The gate is ready when all of its checks pass; they are made every 10 steps."

    def __init__(self, *, marker: str = "braille", id: str | None = None) -> None:
        super().__init__(marker=marker, id=id)
        self._session: Session | None = None
        self._config = ConfigValues()
        self._decided: Entry | None = None
        self._last_id = 0

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Show the present phase."""
        self._session = session
        for entry in since(session.entries, self._last_id):
            self._last_id = entry.id
            if isinstance(entry.event, AutopilotDecided):
                self._decided = entry
        self.repaint_for(session, update)

    def lines(self, width: int) -> list[Content]:
        """Return the sections in order."""
        session = self._session
        if session is None or session.state is None:
            return [Content.styled("no phase before the run has begun", LABEL)]
        state = session.state
        soon = session.soon.state
        if len(state.spec.phases) == 1:
            only = Content.styled("no phases to promote through", LABEL)
            return [
                cut(only, width),
                *self._blending(session, state, width),
                *self._autopilot(state, soon, width),
            ]
        return [
            *self._ladder(state, soon, width),
            *self._gate(state, width),
            *self._probation(state, width),
            *self._blending(session, state, width),
            *self._autopilot(state, soon, width),
        ]

    def _ladder(self, state: RunState, soon: RunState, width: int) -> Iterable[Content]:
        for number, rung in enumerate(state.spec.phases):
            yield from self._rung(number, rung, (state, soon), width)
            if width < _WIDE and number == state.phase + 1 and rung.adds:
                yield from wrapped(f"    adds {', '.join(rung.adds)}", width, LABEL)
        steps = max(state.step - state.phase_started_at, 0)
        here = f"in phase {state.phase} for {steps} step{'' if steps == 1 else 's'}"
        since_step = f", since step {state.phase_started_at}"
        yield cut(Content.styled(f"  {here}{since_step if width >= _WIDE else ''}", LABEL), width)

    def _rung(self, number: int, rung: Phase, states: tuple[RunState, RunState], width: int) -> Iterable[Content]:
        state, soon = states
        if number == state.phase:
            sign, style = self.signs.here, f"bold {ACTIVE}"
        elif number < state.phase:
            sign, style = self.signs.passed, GOOD
        else:
            sign, style = " ", "" if number == state.phase + 1 else FAINT
        text = Content.styled(f"{sign} {number} {escape_control(rung.title)}", style)
        if number == soon.phase and soon.phase != state.phase:
            text += Content.styled(f" <- {self.signs.dots}", WAITING)
        if width < _WIDE or not rung.adds:
            yield cut(text, width)
            return
        adds = ("adds " if number == state.phase + 1 else "") + ", ".join(rung.adds)
        text = text.pad_right(max(26 - text.cell_length, 2))
        for line in Content.styled(adds, LABEL if style else STRONG).wrap(max(width - text.cell_length, 1)):
            yield cut(text + line, width)
            text = Content(" " * text.cell_length)

    def _gate(self, state: RunState, width: int) -> Iterable[Content]:
        if state.phase >= state.spec.last_phase:
            yield Content.styled("no gate: this is the last phase", LABEL)
            return
        red = sum(check.measured and not check.passed for check in state.gate)
        pending = sum(not check.measured for check in state.gate)
        said = (
            part("", "not measured yet", LABEL)
            if not state.gate
            else part("", f"{self.signs.failed} blocked, {red} of {len(state.gate)} red", BAD)
            if red
            else part("", f"- blocked, {pending} of {len(state.gate)} pending", WARN)
            if pending
            else part("", f"{self.signs.passed} ready", f"bold {GOOD}")
        )
        yield from flow(
            [part(f"gate to phase {state.phase + 1}", ""), said, *_key(state, "[p]", "promote", PromotePhase.op)], width
        )
        yield from self._checks(state.gate, width)

    def _checks(self, checks: Sequence[GateCheck], width: int) -> Iterable[Content]:
        """Yield a table if every check fits on one line, else several lines per check."""
        rows = [
            (escape_control(check.name), escape_control(check.value), escape_control(check.bound)) for check in checks
        ]
        names, values, bounds = (max((len(row[at]) for row in rows), default=0) for at in (0, 1, 2))
        is_table = 8 + names + values + bounds <= width
        for check, (name, value, bound) in zip(checks, rows, strict=True):
            pending = ("-", LABEL) if not check.measured else (self.signs.failed, BAD)
            sign, style = (self.signs.passed, GOOD) if check.passed else pending
            title = Content.styled(f"  {sign} {padded(name, names) if is_table else name}  ", style)
            measured = Content.assemble((padded(value, values) if is_table else value, STRONG), (f"  {bound}", LABEL))
            if title.cell_length + measured.cell_length <= width:
                yield title + measured
            else:
                yield cut(title, width)
                yield from (cut(Content("    ") + line, width) for line in measured.wrap(max(width - 4, 1)))

    def _probation(self, state: RunState, width: int) -> Iterable[Content]:
        if state.probation is None:
            return
        left = max(state.probation.until_step - state.step, 0)
        yield from flow(
            [
                part("on probation", f"{left} steps left", f"bold {WARN}"),
                part("a fault goes back to", f"phase {state.probation.former_phase}", LABEL),
                part("", escape_control(state.probation.checkpoint), LABEL),
            ],
            width,
        )

    def _blending(self, session: Session, state: RunState, width: int) -> Iterable[Content]:
        """Yield the components that do not have their full weight yet."""
        steps = self._config.number(session.run_dir, "loss.blend_in_steps")
        if not steps:
            return
        for name, began_at in state.enabled_at.items():
            done = state.step - began_at
            if done < steps:
                said = f" {done}/{steps:g} {escape_control(name)}"
                full, empty = bar(done / steps, min(max(width - len(said) - 10, 4), 20), self.signs)
                yield cut(Content.assemble(("blends in ", LABEL), (full, ACTIVE), (empty, FAINT), said), width)

    def _autopilot(self, state: RunState, soon: RunState, width: int) -> Iterable[Content]:
        """Yield the switch of the autopilot and its last decision; nothing if the run has no autopilot."""
        if state.spec.why_unsupported(SetAutopilot.op) and not state.autopilot:
            return
        word = "on" if state.autopilot else "off"
        style = f"bold {GOOD}" if state.autopilot else LABEL
        pieces = [part("autopilot", word, style), *_key(state, "[T]", "autopilot", SetAutopilot.op)]
        if soon.autopilot is not state.autopilot:
            pieces.append(part("", f"-> {'on' if soon.autopilot else 'off'} {self.signs.dots}", WAITING))
        yield from flow(pieces, width)
        if self._decided is not None and isinstance(self._decided.event, AutopilotDecided):
            event = self._decided.event
            said = f"  step {self._decided.step}: {escape_control(event.decision)}, {escape_control(event.why)}"
            yield from wrapped(said, width, LABEL, most=3)


def _key(state: RunState, text: str, action: str, op: str) -> list[LinePart]:
    """Return the key of `action` as a link; empty list after the end of the run, or if its command is unsupported."""
    return [] if state.activity in OVER or state.spec.why_unsupported(op) else [LinePart(link(text, action))]
