"""What every steering action does: a command at once, a dialog, or a reason why nothing happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from cockpit.dialogs import openers
from cockpit.dialogs.openers import Plan, Reason, Send, Situation
from cockpit.session.session import Session
from cockpit.text.command_text import describe_outcome, projected_state, title
from cockpit.text.format import listed, number, plural
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.decide import decide
from engine.protocol.events import Activity, Status
from engine.protocol.state import RunState


@dataclass(frozen=True, slots=True)
class Effect:
    """Whether an action would do something now, and what; where it would not, `text` is the reason."""

    enabled: bool
    text: str


@dataclass(frozen=True, slots=True)
class Action:
    """What a key does when it is pressed, and what to say of it before."""

    plan: Callable[[Situation], Plan]
    effect: Callable[[Situation], Effect]


def blocked(session: Session) -> str:
    """Why nothing can be steered now: a screen that only watches, a run that is over or has not begun; '' if it can."""
    # Nothing but the run as a whole refuses a checkpoint, so it is the question that stands for all others.
    outcome = session.decide(c.SaveCheckpoint())
    return outcome.reason if outcome.status is Status.REFUSED else ""


def _at_once(command_of: Callable[[RunState], Command]) -> Action:
    """An action that is one command."""

    def plan(situation: Situation) -> Plan:
        return Send(command_of(situation.state))

    def effect(situation: Situation) -> Effect:
        return _effect_of(situation, command_of(situation.state))

    return Action(plan, effect)


def _effect_of(situation: Situation, command: Command) -> Effect:
    """What `command` adds to what is on its way already."""
    waiting = (pending.command for pending in situation.session.pending)
    outcome = decide(projected_state(situation.state, waiting), command)
    return Effect(outcome.status is not Status.REFUSED, describe_outcome(outcome))


def _pause(situation: Situation) -> Plan:
    # The state may show a command's effect before its answer is read: that one is over, and the key means the next.
    sent = [p.command for p in situation.session.pending if isinstance(p.command, c.Pause | c.Resume)]
    on_its_way = [command for command in sent if decide(situation.state, command).event is not None]
    if on_its_way:
        return Reason(f"{title(on_its_way[-1])} is on its way already")
    return Send(_pause_or_resume(situation.state))


def _pause_effect(situation: Situation) -> Effect:
    plan = _pause(situation)
    return _effect_of(situation, plan.command) if isinstance(plan, Send) else Effect(False, _reason(plan))


def _pause_or_resume(state: RunState) -> Command:
    return c.Resume() if state.activity is Activity.PAUSED else c.Pause()


def _toggle(name: str, state: RunState) -> Command:
    return c.DisableRefinement(name) if name in state.refinements else c.EnableRefinement(name)


def _toggle_named(situation: Situation) -> Plan:
    spec = situation.state.spec
    if situation.argument not in spec.component_names:
        return Reason(f"no {spec.component_noun} is called {situation.argument!r}")
    return Send(_toggle(situation.argument, situation.state))


def _toggle_numbered(number: int, situation: Situation) -> Plan:
    spec = situation.state.spec
    if number > len(spec.components):
        count = len(spec.components)
        only = f"only {count}" if count else f"no {plural(spec.component_noun)}"
        return Reason(f"there is no {spec.component_noun} {number}: the task has {only}")
    return Send(_toggle(spec.components[number - 1].name, situation.state))


def _switches(number: int) -> Action:
    """The action that switches the component with this number, from 1."""

    def effect(situation: Situation) -> Effect:
        plan = _toggle_numbered(number, situation)
        return _effect_of(situation, plan.command) if isinstance(plan, Send) else Effect(False, _reason(plan))

    return Action(partial(_toggle_numbered, number), effect)


def _opens(plan: Callable[[Situation], Plan], says: Callable[[RunState], str]) -> Action:
    """An action that opens a dialog; `says` tells how things stand that it changes."""
    return Action(plan, lambda situation: Effect(True, says(situation.state)))


def _reasoned(plan: Callable[[Situation], Plan], says: Callable[[Situation], str]) -> Action:
    """An action that opens a dialog, or has a reason not to."""

    def effect(situation: Situation) -> Effect:
        reason = _reason(plan(situation))
        return Effect(not reason, reason or says(situation))

    return Action(plan, effect)


def _reason(plan: Plan) -> str:
    return plan.text if isinstance(plan, Reason) else ""


def _gate(situation: Situation) -> str:
    state = situation.state
    red = [check.name for check in state.gate if not check.passed and check.measured]
    pending = [check.name for check in state.gate if not check.measured]
    if red or pending:
        waits = f"not measured yet {listed(pending)}" if pending else ""
        shut = "; ".join(text for text in (listed(red) if red else "", waits) if text)
        return f"the gate to phase {state.phase + 1} is shut: {shut}"
    return describe_outcome(decide(state, c.PromotePhase()))


def _weights(state: RunState) -> str:
    return ", ".join(f"{term} {number(value, 3)}" for term, value in state.loss_weights.items()) or "no weights yet"


def _batch(state: RunState) -> str:
    samples = plural(state.spec.sample_noun)
    return f"{state.accumulation} batches per update, {state.batch_size} {samples} per batch now"


ACTIONS: Final[Mapping[str, Action]] = {
    "pause": Action(_pause, _pause_effect),
    "step": _at_once(lambda state: c.RunSteps(1)),
    "lower_lr": _at_once(lambda state: c.ScaleLr(0.5)),
    "raise_lr": _at_once(lambda state: c.ScaleLr(2.0)),
    "promote": _reasoned(openers.promote, _gate),
    "demote": _at_once(lambda state: c.DemotePhase()),
    **{f"toggle_{number}": _switches(number) for number in range(1, 10)},
    "toggle": _reasoned(_toggle_named, lambda situation: f"switch {situation.argument}"),
    "weight": _opens(openers.weight, _weights),
    "checkpoint": _at_once(lambda state: c.SaveCheckpoint()),
    "rollback": _reasoned(openers.rollback, openers.rollback_says),
    "validate": _at_once(lambda state: c.Validate()),
    "optimizer": _opens(openers.optimizer, lambda state: f"{state.optimizer} now"),
    "batch": _opens(openers.batch, _batch),
    "clip": _opens(openers.clip, lambda state: f"{number(state.gradient_clip)} now"),
    "note": _opens(openers.note, lambda state: f"at step {state.step}"),
    "undo": _reasoned(openers.undo, openers.undo_says),
    "guardian": _at_once(lambda state: c.SetGuardian(not state.guardian)),
    "autopilot": _at_once(lambda state: c.SetAutopilot(not state.autopilot)),
    "remedies": _reasoned(openers.remedies, openers.remedies_says),
}
"""Every action of the group "steer" but `acknowledge`, which changes nothing in the run; "toggle" takes a name."""


def effect(action: str, session: Session, situation: Situation | None = None) -> Effect:
    """What `action` would do now. Raises KeyError for one that does not steer."""
    reason = blocked(session)
    if reason or session.state is None:
        return Effect(False, reason)
    return ACTIONS[action].effect(situation or Situation(session))
