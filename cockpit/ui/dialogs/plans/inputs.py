"""Plans of the keys that open an input or a list: gate, weights, knobs, optimizer, batch, learning rate, clip, note."""

from __future__ import annotations

import math

from cockpit.session.session import Session
from cockpit.text.format import number, plural
from cockpit.ui.dialogs.choice_dialog import Choice, MenuDialog
from cockpit.ui.dialogs.dialog import Dialog
from cockpit.ui.dialogs.plans.plan import Open, Plan, Reason, Situation
from cockpit.ui.dialogs.value_dialog import Field, ValueDialog, real, whole_number
from engine.errors import UserError
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.decide import OPTIMIZERS
from engine.protocol.events import Status
from engine.protocol.state import knob_text


def promote(situation: Situation) -> Plan:
    """Open the gate, unless there is no further phase."""
    outcome = situation.session.decide(c.PromotePhase(force=True))
    if outcome.status is Status.REFUSED:
        return Reason(outcome.reason)
    return Open(lambda: gate_dialog(situation.session), asked=True)


def gate_dialog(session: Session, heading: str = "") -> Dialog:
    """Return the dialog of the gate; without a heading, one that promotes."""
    from cockpit.ui.dialogs.gate_dialog import GateDialog  # noqa: PLC0415 - no dialog is in the first picture

    return GateDialog(session, heading)


def histogram(situation: Situation) -> Plan:
    """Open the dialog for histograms, which sends its command itself; the argument is the layer to begin with."""
    return Open(lambda: _histogram_dialog(situation), asked=True)


def _histogram_dialog(situation: Situation) -> Dialog:
    from cockpit.ui.dialogs.lists.histogram_dialog import HistogramDialog  # noqa: PLC0415 - as above

    return HistogramDialog(situation.session, situation.argument)


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

    bounds = f"From {limits.lr_min:g} to {limits.lr_max:g}; one command raises it at most x{limits.max_lr_factor:g}."
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
