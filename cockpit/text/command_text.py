"""Short descriptions of commands and of their predicted outcome, for keys, dialogs and the pending strip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cockpit.text.event_text import info_of, sentence
from cockpit.text.format import counted, escape_control, on_off, rate
from engine.protocol import commands as c
from engine.protocol.commands import Command
from engine.protocol.decide import Outcome
from engine.protocol.events import Activity, Event, Status
from engine.protocol.state import Knob, RunState, knob_text
from engine.protocol.task_spec import NO_SPEC
from engine.protocol.wire import op_of


def title(command: Command) -> str:
    """Return `command` as an imperative: 'lower LR', 'weight of dice', 'promote, forced'."""
    made = _TITLES.get(type(command))
    return escape_control(made(command)) if made else op_of(command).replace("-", " ")


def change(event: Event) -> str:
    """Return the change that `event`, the outcome of a command, makes: 'LR 3.00e-03 -> 1.50e-03'."""
    short = info_of(event).short
    return escape_control(short(event)) if short is not None else sentence(event, NO_SPEC)


def changes_nothing(outcome: Outcome) -> bool:
    """Return whether a command would be applied without effect, because its value is set already."""
    before, after = (getattr(outcome.event, name, None) for name in ("before", "after"))
    return before is not None and before == after


def describe_outcome(outcome: Outcome) -> str:
    """Return the change that a command would make, with the reason of a clamp, or the reason of a refusal."""
    if outcome.event is None:
        return outcome.reason
    if outcome.status is Status.CLAMPED:
        return f"will be clamped: {change(outcome.event)} ({outcome.reason})"
    return change(outcome.event)


def waits_for(state: RunState | None) -> str:
    """Return the event that the engine must reach before it processes a command; `state` is `None` before the first."""
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


def knob_range(knob: Knob) -> str:
    """Return the values that a knob takes, in brief: '0.1..2', '>= 1', 'soft, hard', 'on, off', or 'any number'."""
    if isinstance(knob.value, bool):
        return "on, off"
    if isinstance(knob.value, str):
        return escape_control(", ".join(knob.choices))
    if knob.low is not None and knob.high is not None:
        return f"{knob.low:g}..{knob.high:g}"
    if knob.low is not None:
        return f">= {knob.low:g}"
    return "any number" if knob.high is None else f"<= {knob.high:g}"


# Each function takes the command class of its key, for which there is no common type: hence Any.
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
    c.TakeHistogram: lambda command: f"histogram of {command.layer}",
    c.SetGuardian: lambda command: f"guardian {on_off(command.enabled)}",
    c.SetAutopilot: lambda command: f"autopilot {on_off(command.enabled)}",
    c.SetKnob: lambda command: f"set {command.name} to {knob_text(command.value)}",
    c.ExcludeSamples: lambda command: f"exclude {counted(len(command.sample_ids), 'sample')}",
}
