"""Return the plan of each key that steers: the dialog to open, the command to send, or the reason why neither."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import field

from cockpit.console.incident_text import incident_line
from cockpit.session.checkpoints import Checkpoint, checkpoints_of, way_back
from cockpit.session.incidents.incidents import Incident
from cockpit.session.session import Session
from cockpit.text.command_text import describe_outcome
from cockpit.text.event_text import sentence
from cockpit.text.format import duration, number, plural
from cockpit.ui.dialogs.box import PASS
from cockpit.ui.dialogs.choice_dialog import Choice, MenuDialog
from cockpit.ui.dialogs.confirm_dialog import ConfirmDialog
from cockpit.ui.dialogs.dialog import Dialog
from cockpit.ui.dialogs.undo import NoUndo, Undo, named, plan_undo
from cockpit.ui.dialogs.value_dialog import Field, ValueDialog, real, whole_number
from cockpit.ui.panels.status.incidents import account
from cockpit.ui.panels.status.remedies import remedies_of
from engine.errors import UserError
from engine.journal.reader import Entry
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.decide import OPTIMIZERS
from engine.protocol.events import PhaseDemoted, Status
from engine.protocol.record import record
from engine.protocol.state import RunState, knob_text
from engine.protocol.task_spec import TaskSpec


@record
class Situation:
    """The input of a plan. `argument` is that of the action, `now` the time in seconds since 1970.

    `undos` are undo commands without an outcome, `undone_by` the numbers of those with one. `passed` are the ids
    of entries that undo skips.
    """

    session: Session
    argument: str = ""
    undos: tuple[Command, ...] = ()
    undone_by: frozenset[int] = field(default_factory=frozenset[int])
    passed: frozenset[int] = field(default_factory=frozenset[int])
    now: float = 0.0

    @property
    def state(self) -> RunState:
        """Newest state. Raises AssertionError before the first."""
        assert self.session.state is not None
        return self.session.state


@record
class Send:
    """Send this command, after a confirmation if it is hard to undo."""

    command: Command


@record
class Open:
    """Open the dialog that `make` returns and send its answer. `asked`: the dialog itself is the confirmation."""

    make: Callable[[], Dialog]
    asked: bool = False
    undo: bool = False


@record
class Reason:
    """Show why nothing happens; the next undo skips `entry`."""

    text: str
    entry: Entry | None = None


Plan = Send | Open | Reason


def promote(situation: Situation) -> Plan:
    """Open the gate, unless there is no further phase."""
    outcome = situation.session.decide(c.PromotePhase(force=True))
    return (
        Reason(outcome.reason)
        if outcome.status is Status.REFUSED
        else Open(lambda: _gate_dialog(situation.session), asked=True)
    )


def histogram(situation: Situation) -> Plan:
    """Open the dialog for histograms, which sends its command itself; the argument is the layer to begin with."""
    return Open(lambda: _histogram_dialog(situation), asked=True)


def _histogram_dialog(situation: Situation) -> Dialog:
    from cockpit.ui.dialogs.lists.histogram_dialog import HistogramDialog  # noqa: PLC0415 - as above

    return HistogramDialog(situation.session, situation.argument)


def _gate_dialog(session: Session, heading: str = "") -> Dialog:
    from cockpit.ui.dialogs.gate_dialog import GateDialog  # noqa: PLC0415 - no dialog is in the first picture

    return GateDialog(session, heading)


def weight(situation: Situation) -> Plan:
    """Open the dialog for loss weights; the argument is the term to begin with."""
    if not situation.session.spec.terms:
        return Reason("the task has no loss terms")

    def make() -> Dialog:
        from cockpit.ui.dialogs.lists.weight_dialog import WeightDialog  # noqa: PLC0415 - no dialog is in the first picture

        return WeightDialog(situation.session, situation.argument)

    return Open(make)


def knob(situation: Situation) -> Plan:
    """Open the dialog for knobs; the argument is the knob to begin with."""
    if not situation.state.knobs:
        return Reason("this run has no knobs: its code declares none")

    def make() -> Dialog:
        from cockpit.ui.dialogs.lists.knob_dialog import KnobDialog  # noqa: PLC0415 - no dialog is in the first picture

        return KnobDialog(situation.session, situation.argument)

    return Open(make)


def knobs_say(situation: Situation) -> str:
    """Return the knobs with their values."""
    return ", ".join(f"{name} {knob_text(knob.value)}" for name, knob in situation.state.knobs.items())


def optimizer(situation: Situation) -> Plan:
    """Open the choice between Adam and AdamW."""
    session = situation.session
    explain = "If training is still unstable, try Adam instead of AdamW. The moments are kept."
    choices = tuple(Choice(name, c.SetOptimizer(name)) for name in OPTIMIZERS)
    return Open(lambda: MenuDialog(session, "Optimizer", lambda: choices, explain=lambda: explain))


def batch(situation: Situation) -> Plan:
    """Open the inputs for batches per update and samples per batch, without one that the run does not support."""
    state = situation.state
    offered = {
        c.SetAccumulation.op: Field(
            "batches per update (accumulation; no more memory)",
            str(state.accumulation),
            lambda text: c.SetAccumulation(whole_number(text)),
        ),
        c.SetBatchSize.op: Field(
            f"{plural(state.spec.sample_noun)} per batch (more memory)",
            str(state.batch_size),
            lambda text: c.SetBatchSize(whole_number(text)),
        ),
    }
    fields = tuple(field for op, field in offered.items() if not state.spec.why_unsupported(op))
    explain = "If training is still unstable, try a batch of 4, or accumulation if memory is short."
    return Open(lambda: ValueDialog(situation.session, "Batch", fields, explain=explain))


def learning_rate(situation: Situation) -> Plan:
    """Open the input for an exact learning rate."""
    state = situation.state
    now, limits = f"{state.lr:g}", state.limits

    def read(text: str) -> Command:
        if text.strip() == now:
            raise UserError(f"the learning rate is {now} already: type another one, such as 3e-5")
        return c.SetLr(real(text))

    bounds = f"From {limits.lr_min:g} to {limits.lr_max:g}, at most x{limits.max_lr_factor:g} in one command."
    explain = f"{bounds} A warm-up ends, and the schedule goes on from the new rate."
    return Open(lambda: ValueDialog(situation.session, "Learning rate", (Field("rate", now, read),), explain=explain))


def clip(situation: Situation) -> Plan:
    """Open the input for the bound on the gradient norm."""
    state, newest = situation.state, situation.session.state
    norm = number(newest.grad_norm) if newest else "-"
    clipped = f"The newest norm is {norm}; {100 * state.clip_rate:.0f} % of the newest steps were clipped."
    value = "off" if state.gradient_clip == math.inf else f"{state.gradient_clip:g}"
    name = "gradient norm at most" if state.limits.max_gradient_clip < math.inf else "gradient norm at most, or off"
    field = Field(name, value, lambda text: c.SetGradientClip(math.inf if text.strip() == "off" else real(text)))
    return Open(lambda: ValueDialog(situation.session, "Gradient clip", (field,), explain=clipped))


def note(situation: Situation) -> Plan:
    """Open the input for a note in the journal."""
    field = Field(f"at step {situation.state.step}", situation.argument, c.AddNote)
    return Open(lambda: ValueDialog(situation.session, "Note", (field,)))


def rollback(situation: Situation) -> Plan:
    """Open the list of checkpoints, or roll back to the one that the argument names."""
    session = situation.session
    if situation.argument:
        return Send(c.Rollback(situation.argument))
    if not situation.state.checkpoints:
        return Reason("no checkpoint exists yet: c writes one")

    def choices() -> Sequence[Choice]:
        state = session.state or situation.state
        found = checkpoints_of(state, session.entries)
        return tuple(
            Choice(_checkpoint_row(checkpoint, state, situation.now), c.Rollback(checkpoint.name))
            for checkpoint in found
        )

    explain = (
        f"   {'step':>8} {'back':>7} {'loss':>8} {session.spec.score_title or '-':>7.7}  {'kind':10} {'good':6} age"
    )
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
        return Open(lambda: _gate_dialog(session, heading), asked=True, undo=True)
    outcome = session.decide(plan.command)
    if outcome.status is Status.REFUSED:
        return Reason(f"{sentence(plan.entry.event, session.spec)}: cannot be taken back, {outcome.reason}", plan.entry)
    explained = tuple(text for text in (_done(plan.entry, session.spec), plan.caution and f"{plan.caution}.") if text)

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
    """Open the list of remedies for the newest incident that is not acknowledged, the recommended one first."""
    session, incident = situation.session, _incident(situation)
    if incident is None:
        return Reason("there is no alert to find a remedy for")
    then = session.now
    if not remedies_of(incident, then.state, then.outcome_of):
        return Reason(account(incident, situation.session.spec).remedy or "no command helps against this alert")

    def choices() -> Sequence[Choice]:
        now = then if session.state is None else session.now
        found = remedies_of(_incident(situation) or incident, now.state, now.outcome_of)
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
    """Return the newest open incident, or the incident of the event whose id is the argument; `None` without one."""
    incidents, argument = situation.session.incidents, situation.argument
    if argument.isdigit():
        number = incidents.numbers.get(int(argument))
        return incidents.all[number - 1] if number is not None else None
    return next(iter(reversed(incidents.open)), None)


def _checkpoint_row(checkpoint: Checkpoint, state: RunState, now: float) -> str:
    step = "?" if checkpoint.step is None else str(checkpoint.step)
    back = "?" if checkpoint.step is None else str(state.step - checkpoint.step)
    good = f"{PASS} last" if checkpoint.name == state.good_checkpoint else PASS if checkpoint.good else "-"
    age = "-" if checkpoint.saved_at is None else duration(max(now - checkpoint.saved_at, 0.0))
    measured = f"{number(checkpoint.loss):>8} {number(checkpoint.score, 3):>7}"
    return f"{step:>8} {back:>7} {measured}  {checkpoint.kind or '-':10} {good:6} {age}"
