"""What a command will do, in the few words that fit on a key, in a dialog or on the pending strip."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from cockpit.text.event_text import sentence
from cockpit.text.format import escape_control, number, rate
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome
from engine.protocol.events import Activity, Event, Status
from engine.protocol.state import RunState
from engine.protocol.wire import op_of


def title(command: Command) -> str:
    """`command` as an imperative: 'lower LR', 'weight of dice', 'promote, forced'."""
    made = _TITLES.get(type(command))
    return escape_control(made(command)) if made else op_of(command).replace("-", " ")


def change(event: Event) -> str:
    """What `event` changes, in few words: 'LR 3.00e-03 -> 1.50e-03'."""
    made = _CHANGES.get(type(event))
    return escape_control(made(event)) if made else sentence(event)


def changes_nothing(outcome: Outcome) -> bool:
    """Whether a command would be done and leave everything as it is: the value it sets is there already."""
    before, after = (getattr(outcome.event, name, None) for name in ("before", "after"))
    return before is not None and before == after


def describe_outcome(outcome: Outcome) -> str:
    """How a command would end: the change, what it would be clamped to and why, or why it would be refused."""
    if outcome.event is None:
        return outcome.reason
    if outcome.status is Status.CLAMPED:
        return f"will be clamped: {change(outcome.event)} ({outcome.reason})"
    return change(outcome.event)


def waits_for(state: RunState | None) -> str:
    """What a command that was sent waits for before the engine comes to it."""
    match state.activity if state else Activity.STARTING:
        case Activity.STARTING:
            return "waits for the first step"
        case Activity.PAUSED:
            return "waits for the paused engine"
        case Activity.VALIDATING:
            return "waits until the validation is done"
        case Activity.RUNNING:
            return "waits for the step boundary"
        case Activity.STOPPING | Activity.FINISHED | Activity.FAILED:
            return "waits, but the run is over"


def on_off(enabled: bool) -> str:
    """The word for a switch."""
    return "on" if enabled else "off"


def names(refinements: Iterable[str]) -> str:
    """Refinements in a row, 'nothing' for none."""
    return ", ".join(refinements) or "nothing"


def _switched(event: e.PhasePromoted) -> str:
    forced = "; recorded as forced" if event.forced else ""
    return f"phase {event.before} -> {event.after}, on: {names(event.enabled)}{forced}"


# Each function takes the command or event type that it stands beside, which no common type can say: hence Any.
_TITLES: Final[dict[type[Any], Callable[[Any], str]]] = {
    c.RunSteps: lambda command: "one step" if command.num_steps == 1 else f"{command.num_steps} steps",
    c.ScaleLr: lambda command: "lower LR" if command.factor < 1 else "raise LR",
    c.SetLr: lambda command: f"set LR to {rate(command.value)}",
    c.PromotePhase: lambda command: "promote, forced" if command.force else "promote",
    c.EnableRefinement: lambda command: f"switch on {command.name}",
    c.DisableRefinement: lambda command: f"switch off {command.name}",
    c.SetLossWeight: lambda command: f"weight of {command.term}",
    c.SetGradientClip: lambda command: "gradient clip",
    c.SetAccumulation: lambda command: "accumulation",
    c.SetBatchSize: lambda command: "batch size",
    c.SetOptimizer: lambda command: "optimizer",
    c.Rollback: lambda command: f"roll back to {command.checkpoint or 'the last good checkpoint'}",
    c.SetGuardian: lambda command: f"guardian {on_off(command.enabled)}",
    c.SetAutopilot: lambda command: f"autopilot {on_off(command.enabled)}",
    c.ExcludeSamples: lambda command: f"exclude {len(command.sample_ids)} samples",
}

_CHANGES: Final[dict[type[Any], Callable[[Any], str]]] = {
    e.Paused: lambda event: f"{event.before} -> paused",
    e.Resumed: lambda event: f"{event.before} -> running",
    e.StepsGranted: lambda event: f"{event.after} step{'' if event.after == 1 else 's'}, then pause",
    e.LrScaled: lambda event: f"LR {rate(event.before)} -> {rate(event.after)}",
    e.LrSet: lambda event: f"LR {rate(event.before)} -> {rate(event.after)}, warm-up over",
    e.PhasePromoted: _switched,
    e.LossWeightSet: lambda event: f"{number(event.before)} -> {number(event.after)}",
    e.GradientClipSet: lambda event: f"{number(event.before)} -> {number(event.after)}",
    e.AccumulationSet: lambda event: f"{event.before} -> {event.after}",
    e.BatchSizeSet: lambda event: f"{event.before} -> {event.after}",
    e.OptimizerSet: lambda event: f"{event.before} -> {event.after}, moments kept",
    e.CheckpointRequested: lambda event: "written at the step boundary",
    e.ValidationRequested: lambda event: "runs at the step boundary, training waits for it",
    e.RollbackRequested: lambda event: f"to {event.checkpoint}, steering kept",
    e.GuardianSet: lambda event: f"{on_off(event.before)} -> {on_off(event.after)}",
    e.AutopilotSet: lambda event: f"{on_off(event.before)} -> {on_off(event.after)}",
}
