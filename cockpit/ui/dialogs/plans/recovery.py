"""Plans of the keys that go back: rollback, undo, and the remedies of an incident."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from cockpit.charts.ticks import narrow
from cockpit.console.incident_text import incident_line
from cockpit.session.checkpoints import Checkpoint, checkpoints_of, way_back
from cockpit.session.incidents.incident import Incident
from cockpit.text.command_text import describe_outcome
from cockpit.text.event_text import sentence
from cockpit.text.format import duration, escape_control, number
from cockpit.ui.dialogs.box import PASS
from cockpit.ui.dialogs.choice_dialog import Choice, MenuDialog
from cockpit.ui.dialogs.confirm_dialog import ConfirmDialog
from cockpit.ui.dialogs.dialog import Dialog
from cockpit.ui.dialogs.plans.inputs import gate_dialog
from cockpit.ui.dialogs.plans.plan import Open, Plan, Reason, Send, Situation
from cockpit.ui.dialogs.undo import NoUndo, Undo, named, plan_undo
from cockpit.ui.panels.status.alerts.account import account
from cockpit.ui.panels.status.alerts.remedies import remedies_of
from cockpit.ui.panels.toolkit.line_parts import cut
from engine.journal.reader import Entry
from engine.protocol import commands as c
from engine.protocol.events import PhaseDemoted, Status
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec

_LEAST_TITLE, _MOST_TITLE = 7, 16
"""Columns of the score in the list of checkpoints, whose title is whole unless it is very long."""
_LOSS = 8


def rollback(situation: Situation) -> Plan:
    """Open the list of checkpoints, or roll back to the one that the argument names."""
    session = situation.session
    if situation.argument:
        return Send(c.Rollback(situation.argument))
    if not situation.state.checkpoints:
        return Reason("no checkpoint exists yet: c writes one")
    title = escape_control(session.spec.score_title) or "-"
    width = min(max(Content(title).cell_length, _LEAST_TITLE), _MOST_TITLE)

    def choices() -> Sequence[Choice]:
        state = session.state or situation.state
        found = checkpoints_of(state, session.entries)
        return tuple(
            Choice(_checkpoint_row(checkpoint, state, situation.now, width), c.Rollback(checkpoint.name))
            for checkpoint in found
        )

    title = cut(Content(title), width).plain
    score = " " * (width - Content(title).cell_length) + title
    explain = f"   {'step':>8} {'back':>7} {'loss':>{_LOSS}} {score}  {'kind':10} {'good':6} age"
    return Open(
        lambda: MenuDialog(session, "Roll back: steering is kept", choices, explain=lambda: explain, inline=False)
    )


def rollback_says(situation: Situation) -> str:
    """Return how far back the last good checkpoint is."""
    good = situation.state.good_checkpoint
    return f"last good: {way_back(situation.state, good)}" if good else "no checkpoint is known to be good yet"


def undo(situation: Situation) -> Plan:
    """Ask for confirmation of the command that takes back the last intervention of a person."""
    session = situation.session
    if situation.undos:
        return Reason("the undo before is still on its way")
    plan = _undo_plan(situation)
    if isinstance(plan, NoUndo):
        return Reason(plan.reason, plan.entry)
    if isinstance(plan.entry.event, PhaseDemoted):
        heading = f"Undo: {_taken_back(plan)}, through the gate"
        return Open(lambda: gate_dialog(session, heading), asked=True, undo=True)
    outcome = session.decide(plan.command)
    if outcome.status is Status.REFUSED:
        return Reason(f"{sentence(plan.entry.event, session.spec)}: cannot be taken back, {outcome.reason}", plan.entry)
    caution = f"{plan.caution[:1].upper()}{plan.caution[1:]}." if plan.caution else ""
    explained = tuple(text for text in (_done(plan.entry, session.spec), caution) if text)

    def make() -> Dialog:
        return ConfirmDialog(
            session, plan.command, lambda now: explained, heading=f"Undo: {_taken_back(plan)}", danger=False
        )

    return Open(make, asked=True, undo=True)


def undo_says(situation: Situation) -> str:
    """Return what would be taken back."""
    plan = _undo_plan(situation)
    if isinstance(plan, NoUndo):
        return plan.reason
    return f"{_taken_back(plan)}: {describe_outcome(situation.session.decide(plan.command))}"


def remedies(situation: Situation) -> Plan:
    """Open the list of remedies for the incident of the newest alert, the recommended one first."""
    session, incident = situation.session, _incident(situation)
    if incident is None:
        return Reason("there is no alert to find a remedy for")
    then = session.now
    if not remedies_of(incident, then.state, then.outcome_of):
        return Reason(account(incident, situation.session.spec).remedy or "no command helps against this alert")

    def choices() -> Sequence[Choice]:
        now = then if session.state is None else session.now
        # A newer alert of another incident must not change the list below the cursor.
        grown = next((other for other in session.incidents.all if other.number == incident.number), incident)
        found = remedies_of(grown, now.state, now.outcome_of)
        return tuple(
            Choice(remedy.label if number else f"{remedy.label} (recommended)", remedy.command)
            for number, remedy in enumerate(found)
        )

    return Open(lambda: MenuDialog(session, "Remedies", choices, explain=lambda: _explained(incident, session.spec)))


def remedies_says(situation: Situation) -> str:
    """Return the line of the incident that the remedies are for; empty string if there is none."""
    incident = _incident(situation)
    return incident_line(incident) if incident else ""


def _explained(incident: Incident, spec: TaskSpec) -> str:
    told = account(incident, spec)
    cause = f"likely cause: {told.cause}" if told.cause else ""
    return "\n".join(text for text in (told.what, cause, told.where, told.evidence) if text)


def _undo_plan(situation: Situation) -> Undo | NoUndo:
    return plan_undo(situation.session.entries, undone_by=situation.undone_by, passed=situation.passed)


def _taken_back(plan: Undo) -> str:
    return f"{named(plan.entry.event)} at step {plan.entry.step}"


def _done(entry: Entry, spec: TaskSpec) -> str:
    return f"Takes back what {entry.actor} did at step {entry.step}: {sentence(entry.event, spec)}."


def _incident(situation: Situation) -> Incident | None:
    """Return the incident of the event whose id is the argument, without one the open one of the newest alert."""
    incidents, argument = situation.session.incidents, situation.argument
    if argument.isdigit():
        number = incidents.numbers.get(int(argument))
        return incidents.all[number - 1] if number is not None else None
    return incidents.newest


def _checkpoint_row(checkpoint: Checkpoint, state: RunState, now: float, width: int) -> str:
    """Return the row of a checkpoint with its score in `width` columns."""
    step = "?" if checkpoint.step is None else str(checkpoint.step)
    back = "?" if checkpoint.step is None else str(state.step - checkpoint.step)
    good = f"{PASS} last" if checkpoint.name == state.good_checkpoint else PASS if checkpoint.good else "-"
    age = "-" if checkpoint.saved_at is None else duration(max(now - checkpoint.saved_at, 0.0))
    measured = f"{_fitted(checkpoint.loss, 4, _LOSS)} {_fitted(checkpoint.score, 3, width)}"
    return f"{step:>8} {back:>7} {measured}  {checkpoint.kind or '-':10} {good:6} {age}"


def _fitted(value: float | None, digits: int, width: int) -> str:
    """Return a number in a column, with fewer digits if it is too long: 0.000192 instead of 0.0001922."""
    text = number(value, digits)
    return (text if value is None or len(text) <= width else narrow(value, width)).rjust(width)
