"""The table of the actions that steer: the command, the dialog or the reason of each, and its predicted effect."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from cockpit.session.session import Session
from cockpit.text.command_text import describe_outcome
from cockpit.text.format import clip_text, counted, listed, number, rate
from cockpit.ui.dialogs.plans import inputs, recovery, switches
from cockpit.ui.dialogs.plans.plan import Plan, Reason, Send, Situation
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome
from engine.protocol.events import Status
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.protocol.task_spec import TaskSpec


@record
class Effect:
    """The predicted effect of an action; `text` is the reason if it is not `enabled`."""

    enabled: bool
    text: str


@record
class Action:
    """The plan of a key, its predicted effect, and the commands that it can send, by `op`; none if any.

    One that `looks` has something to show also while no command can be sent.
    """

    plan: Callable[[Situation], Plan]
    effect: Callable[[Situation], Effect]
    ops: tuple[str, ...] = ()
    looks: bool = False


def _effect_of(situation: Situation, command: Command) -> Effect:
    """Return what `command` adds to the pending commands."""
    outcome = situation.session.soon.outcome_of(command)
    return Effect(outcome.status is not Status.REFUSED, describe_outcome(outcome))


def _decided(plan: Callable[[Situation], Plan], *ops: str) -> Action:
    """Return the action that sends the command of its plan, one of `ops`, or has a reason not to."""

    def effect(situation: Situation) -> Effect:
        found = plan(situation)
        return _effect_of(situation, found.command) if isinstance(found, Send) else Effect(False, _reason(found))

    return Action(plan, effect, ops)


def _sends(command_of: Callable[[RunState], Command], op: str) -> Action:
    """Return the action that sends one command, with the name `op`."""
    return _decided(lambda situation: Send(command_of(situation.state)), op)


def _opens(plan: Callable[[Situation], Plan], says: Callable[[RunState], str], *ops: str) -> Action:
    """Return the action that opens a dialog for the commands `ops`; `says` returns the values that it changes."""
    return Action(plan, lambda situation: Effect(True, says(situation.state)), ops)


def _reasoned(plan: Callable[[Situation], Plan], says: Callable[[Situation], str], *ops: str) -> Action:
    """Return the action that opens a dialog for the commands `ops` or has a reason not to."""

    def effect(situation: Situation) -> Effect:
        reason = _reason(plan(situation))
        return Effect(not reason, reason or says(situation))

    return Action(plan, effect, ops)


def _reason(plan: Plan) -> str:
    return plan.text if isinstance(plan, Reason) else ""


def _promote_effect(situation: Situation) -> Effect:
    outcome = situation.session.decide(c.PromotePhase(force=True))
    if outcome.status is Status.REFUSED:
        return Effect(False, outcome.reason)
    return Effect(True, _gate(situation.state, outcome))


def _gate(state: RunState, outcome: Outcome) -> str:
    """Return why the gate is blocked, or the effect of a promotion, given the outcome of a forced one."""
    red = [check.name for check in state.gate if not check.passed and check.measured]
    pending = [check.name for check in state.gate if not check.measured]
    if red or pending:
        waits = f"not measured yet {listed(pending)}" if pending else ""
        blocked = "; ".join(text for text in (listed(red) if red else "", waits) if text)
        return f"gate to phase {state.phase + 1} blocked: {blocked}"
    return describe_outcome(outcome)


def _weights(state: RunState) -> str:
    return ", ".join(f"{term} {number(value, 3)}" for term, value in state.loss_weights.items()) or "no weights yet"


def _batch(state: RunState) -> str:
    """Return the numbers that the dialog for batches changes, without one that the run does not support."""
    numbers = {
        c.SetAccumulation.op: f"{counted(state.accumulation, 'batch')} per update",
        c.SetBatchSize.op: f"{counted(state.batch_size, state.spec.sample_noun)} per batch",
    }
    return f"{', '.join(text for op, text in numbers.items() if not state.spec.why_unsupported(op))} now"


def _histogram_effect(situation: Situation) -> Effect:
    only_kept = situation.session.refusal
    return Effect(True, f"those kept: {only_kept}" if only_kept else "those kept, or new ones at the next step")


_SWITCHES: Final = (c.EnableRefinement.op, c.DisableRefinement.op)

ACTIONS: Final[Mapping[str, Action]] = {
    "pause": _decided(switches.pause, c.Pause.op, c.Resume.op),
    "step": _sends(lambda state: c.RunSteps(1), c.RunSteps.op),
    "lower_lr": _sends(lambda state: c.ScaleLr(0.5), c.ScaleLr.op),
    "raise_lr": _sends(lambda state: c.ScaleLr(2.0), c.ScaleLr.op),
    "set_lr": _opens(inputs.learning_rate, lambda state: f"{rate(state.lr)} now", c.SetLr.op),
    "promote": Action(inputs.promote, _promote_effect, (c.PromotePhase.op,)),
    "demote": _sends(lambda state: c.DemotePhase(), c.DemotePhase.op),
    **{f"toggle_{number}": _decided(partial(switches.toggle_numbered, number), *_SWITCHES) for number in range(1, 10)},
    "toggle": _reasoned(switches.toggle_named, lambda situation: f"switch {situation.argument}", *_SWITCHES),
    "weight": _opens(inputs.weight, _weights, c.SetLossWeight.op),
    "knob": _reasoned(inputs.knob, inputs.knobs_say, c.SetKnob.op),
    "checkpoint": _sends(lambda state: c.SaveCheckpoint(), c.SaveCheckpoint.op),
    "rollback": _reasoned(recovery.rollback, recovery.rollback_says, c.Rollback.op),
    "validate": _sends(lambda state: c.Validate(), c.Validate.op),
    "optimizer": _opens(inputs.optimizer, lambda state: f"{state.optimizer} now", c.SetOptimizer.op),
    "batch": _opens(inputs.batch, _batch, c.SetAccumulation.op, c.SetBatchSize.op),
    "clip": _opens(inputs.clip, lambda state: f"{clip_text(state.gradient_clip)} now", c.SetGradientClip.op),
    "note": _opens(inputs.note, lambda state: f"at step {state.step}", c.AddNote.op),
    "undo": _reasoned(recovery.undo, recovery.undo_says),
    "guardian": _sends(lambda state: c.SetGuardian(not state.guardian), c.SetGuardian.op),
    "autopilot": _sends(lambda state: c.SetAutopilot(not state.autopilot), c.SetAutopilot.op),
    "remedies": _reasoned(recovery.remedies, recovery.remedies_says),
    "histogram": Action(inputs.histogram, _histogram_effect, (c.TakeHistogram.op,), looks=True),
}
"""Every action that can send a command. "toggle" takes the name of a component, "histogram" that of a layer."""


def unsupported(spec: TaskSpec) -> dict[str, str]:
    """Return the actions none of whose commands a run of the task can carry out, each with the reason."""
    if not spec.unsupported:
        return {}
    reasons = {action: [spec.why_unsupported(op) for op in row.ops] for action, row in ACTIONS.items()}
    return {action: "; ".join(dict.fromkeys(found)) for action, found in reasons.items() if found and all(found)}


def refusal(action: str, session: Session) -> str:
    """Return why `action` can do nothing at all: no command can be sent, or none of its own; else an empty string."""
    refused = "" if ACTIONS[action].looks else session.refusal
    return refused or unsupported(session.spec).get(action, "")


def without_effect(session: Session) -> dict[str, str]:
    """Return the actions that can do nothing at present, each with the reason and whether it is one for ever."""
    never = {action: f"not in this run: {reason}" for action, reason in unsupported(session.spec).items()}
    if session.state is None or not (reason := session.refusal):
        return never
    return {**{action: f"not now: {reason}" for action, row in ACTIONS.items() if not row.looks}, **never}


def effect(action: str, session: Session, situation: Situation | None = None) -> Effect:
    """Return what `action` would do now. Raises KeyError for one that does not steer."""
    if reason := refusal(action, session):
        return Effect(False, reason)
    return ACTIONS[action].effect(situation or Situation(session))
