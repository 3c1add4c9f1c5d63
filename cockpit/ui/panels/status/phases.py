"""The phases panel: the present phase, the additions of the next one, and the state of its gate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from textual.content import Content

from cockpit.session.session import Session
from cockpit.session.update import SessionUpdate
from cockpit.text.format import escape_control
from cockpit.ui.panels.records.config_values import ConfigValues
from cockpit.ui.panels.status.gate_lines import gate_lines, key_of
from cockpit.ui.panels.status.newest_events import NewestEvents
from cockpit.ui.panels.toolkit.line_panel import TitledLinePanel
from cockpit.ui.panels.toolkit.line_parts import cut, flow, part, wrapped
from cockpit.ui.panels.toolkit.symbols import ACTIVE, FAINT, GOOD, LABEL, STRONG, WAITING, WARN, bar
from engine.protocol.commands import SetAutopilot
from engine.protocol.events import AutopilotDecided
from engine.protocol.state import RunState
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
        self._newest = NewestEvents()

    def apply_update(self, session: Session, update: SessionUpdate) -> None:
        """Show the present phase."""
        self._session = session
        self._newest.follow(session.entries)
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
            *gate_lines(state, width, self.signs),
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
        ages = {name: state.step - began_at for name, began_at in state.enabled_at.items()}
        for name, done in ((name, done) for name, done in ages.items() if done < steps):
            said = f" {done}/{steps:g} {escape_control(name)}"
            full, empty = bar(done / steps, min(max(width - len(said) - 10, 4), 20), self.signs)
            yield cut(Content.assemble(("blends in ", LABEL), (full, ACTIVE), (empty, FAINT), said), width)

    def _autopilot(self, state: RunState, soon: RunState, width: int) -> Iterable[Content]:
        """Yield the switch of the autopilot and its last decision; nothing if the run has no autopilot."""
        if state.spec.why_unsupported(SetAutopilot.op) and not state.autopilot:
            return
        word = "on" if state.autopilot else "off"
        style = f"bold {GOOD}" if state.autopilot else LABEL
        pieces = [part("autopilot", word, style), *key_of(state, "[T]", "autopilot", SetAutopilot.op)]
        if soon.autopilot is not state.autopilot:
            pieces.append(part("", f"-> {'on' if soon.autopilot else 'off'} {self.signs.dots}", WAITING))
        yield from flow(pieces, width)
        decided = self._newest.get("decision")
        if decided is not None and isinstance(event := decided.event, AutopilotDecided):
            said = f"  step {decided.step}: {escape_control(event.decision)}, {escape_control(event.why)}"
            yield from wrapped(said, width, LABEL, most=3)
