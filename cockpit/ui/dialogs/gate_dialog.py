"""The gate to the next phase: its checks, what the phase adds, and the keys that promote or force."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button

from cockpit.console.reporting.live_panel import phase_title
from cockpit.session.session import Session
from cockpit.text.format import listed, number
from cockpit.ui.dialogs.box import CARE, FAIL, PASS, button, line
from cockpit.ui.dialogs.dialog import Dialog
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.decide import Outcome
from engine.protocol.events import Status
from engine.protocol.state import GateCheck, RunState

_PENDING: Final = "-"
"""The mark of a check that was not measured yet: it has neither passed nor failed."""


class GateDialog(Dialog):
    """Enter promotes if every check is green. A forced promotion takes two different keys, f and then F."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "promote", "promote", show=False),
        Binding("f", "arm", "force", show=False),
        Binding("F", "force", "promote, forced", show=False),
    ]

    def __init__(self, session: Session, heading: str = "") -> None:
        phase = session.state.phase + 1 if session.state else ""
        super().__init__(session, heading or f"The gate to phase {phase}", keys="escape cancels")
        self._armed = False
        self._pressed_on_red = False

    def body(self) -> Iterable[Widget]:
        """Return the keys first, which a low terminal must not cut, then the checks and what a promotion does."""
        return line("press"), line("phase"), line("checks"), line("adds"), line("around", hint=True)

    def buttons(self) -> Iterable[Button]:
        """Return the Promote button, two buttons that force in two clicks, and the Cancel button."""
        return (
            button("Promote", "promote", "enter"),
            button("Force", "arm", "f", danger=True),
            button("Promote, forced", "force", "F", danger=True),
            button("Cancel", "cancel", "escape"),
        )

    def renew(self) -> None:
        """Show the gate of the newest state."""
        self._show(self.session.decide(c.PromotePhase(force=True)))

    def _show(self, outcome: Outcome) -> None:
        """Show the gate, given the outcome of a forced promotion: its event says whether a check is red."""
        state, event = self.session.state, outcome.event
        if state is None or not isinstance(event, e.PhasePromoted):
            self._refuse(outcome.reason)
            return
        blocked = verdict(state.gate) if event.forced else ""
        self._armed = self._armed and bool(blocked)
        self._pressed_on_red = self._pressed_on_red and bool(blocked)
        self.say("phase", f"Phase {phase_title(state)}, since step {state.phase_started_at}")
        self.say("checks", _checks(state.gate, self.room))
        self.say("adds", _adds(self.session, state, event))
        self.say("around", _around(state))
        self.say("press", self._press(blocked))
        self._show_buttons(red=bool(blocked))

    def action_promote(self) -> None:
        """Promote to the next phase, unless the gate is blocked."""
        if not self.close_with(c.PromotePhase()):
            self._pressed_on_red = True
            self.renew()

    def action_arm(self) -> None:
        """Prepare a forced promotion, if a check is red: the first of its two keys."""
        outcome = self.session.decide(c.PromotePhase(force=True))
        self._armed = outcome.status is not Status.REFUSED
        self._show(outcome)

    def action_force(self) -> None:
        """Promote although a check is red: the second of the two keys."""
        if self._armed:
            self.close_with(c.PromotePhase(force=True))

    def _press(self, blocked: str) -> Content:
        if not blocked:
            return Content.assemble((f"{PASS} gate ready: ", "$text-success"), "enter promotes")
        if self._armed:
            armed = f"{CARE} gate blocked, {blocked}: F promotes all the same, and it is recorded as forced"
            return Content.styled(armed, "$text-error bold")
        nothing = "enter does nothing, " if self._pressed_on_red else ""
        said = (f"{FAIL} gate blocked, {blocked}: ", "$text-error")
        return Content.assemble(said, f"{nothing}f goes on to a forced promotion")

    def _show_buttons(self, *, red: bool) -> None:
        self.query_one("#promote", Button).disabled = red
        self.query_one("#arm", Button).display = red and not self._armed
        self.query_one("#force", Button).display = self._armed

    def _refuse(self, reason: str) -> None:
        """Show only the reason why no promotion is possible at all."""
        for place in ("phase", "checks", "adds", "around"):
            self.say(place, "")
        self.say("press", Content.assemble((f"{FAIL} refused: ", "$text-error"), reason))
        self._armed = False
        self._show_buttons(red=True)
        self.query_one("#arm", Button).display = False


def _checks(gate: tuple[GateCheck, ...], room: int) -> Content:
    """Return a table if every check fits into `room` columns, else the bound of a long one on a line of its own."""
    if not gate:
        return Content("no check has been measured yet")
    width, values = max(len(check.name) for check in gate), max(len(check.value) for check in gate)
    table = [
        Content.assemble(_mark(check), f"{check.name:{width}}  {check.value:>{values}}  {check.bound}")
        for check in gate
    ]
    if max(row.cell_length for row in table) <= room:
        return Content("\n").join(table)
    return Content("\n").join(line for check in gate for line in _lines(check, room))


def _lines(check: GateCheck, room: int) -> Iterable[Content]:
    """Yield a check on one line, or its name with its value and bound below it if it is too long for one."""
    title, measured = Content.assemble(_mark(check), check.name), Content(f"{check.value}  {check.bound}")
    if title.cell_length + 2 + measured.cell_length <= room:
        yield Content("  ").join((title, measured))
        return
    yield title
    yield from (Content("    ") + part for part in measured.wrap(max(room - 4, 1)))


def verdict(gate: tuple[GateCheck, ...]) -> str:
    """Return why a gate is blocked: '1 check is red, 2 are pending'; empty string if it is ready."""
    red = sum(check.measured and not check.passed for check in gate)
    pending = sum(not check.measured for check in gate)
    said = [f"{red} check{' is' if red == 1 else 's are'} red"] if red else []
    if pending:
        checks = "" if red else " check" if pending == 1 else " checks"
        said.append(f"{pending}{checks} {'is' if pending == 1 else 'are'} pending")
    return ", ".join(said)


def _mark(check: GateCheck) -> tuple[str, str]:
    if check.passed:
        return f"{PASS} ", "$text-success"
    return (f"{FAIL} ", "$text-error") if check.measured else (f"{_PENDING} ", "$text-muted")


def _adds(session: Session, state: RunState, event: e.PhasePromoted) -> str:
    terms = [term.name for term in state.spec.terms if term.component in event.enabled]
    weights = "; ".join(
        f"loss {term}: weight {number(state.loss_weights.get(term))}, chance {number(session.chance.get(term))}"
        for term in terms
    )
    adds = f"Phase {event.after} of {state.spec.last_phase} adds {listed(event.enabled)}"
    return f"{adds}\n  {weights}" if weights else adds


def _around(state: RunState) -> str:
    saved = "A checkpoint is written first. What comes on is blended in; then the phase is on probation: "
    if state.guardian:
        return f"{saved}a fault takes the run back to that checkpoint and to phase {state.phase} by itself."
    return f"{saved}the guardian is off, so a fault is named but nothing goes back by itself."
