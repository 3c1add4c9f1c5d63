"""The rules of commands: `decide` returns the outcome of a command without executing it, also for the screen."""

from __future__ import annotations

import math

from engine.errors import did_you_mean
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.events import Activity, Event, Status
from engine.protocol.record import record
from engine.protocol.state import RunState, knob_text
from engine.protocol.task_spec import NO_PHASES

OPTIMIZERS = ("adam", "adamw")
_OVER = (Activity.STOPPING, Activity.FINISHED, Activity.FAILED)


@record
class Outcome:
    """The outcome of a command: its event, or `None` if it is refused, and the reason of a difference."""

    status: Status
    event: Event | None
    reason: str = ""


def applied(event: Event) -> Outcome:
    """Return the outcome of a command that is executed unchanged."""
    return Outcome(Status.APPLIED, event)


def clamped(event: Event, reason: str) -> Outcome:
    """Return the outcome of a command that is executed with another value than requested."""
    return Outcome(Status.CLAMPED, event, reason)


def refused(reason: str) -> Outcome:
    """Return the outcome of a command that changes nothing."""
    return Outcome(Status.REFUSED, None, reason)


def can_accept_commands(state: RunState) -> str:
    """Return why a run in `state` accepts no command but a note; empty string if it accepts commands."""
    return f"the run is {state.activity.value}" if state.activity in _OVER else ""


# Every command has its case, and pyright sees that none is missing: hence so many branches.
def decide(state: RunState, command: Command, *, at_epoch: float = 0.0) -> Outcome:  # noqa: C901, PLR0912
    """Return the outcome of `command` on a run in `state`; `at_epoch` is its progress in epochs. Pure, never raises."""
    if not isinstance(command, c.AddNote) and (reason := can_accept_commands(state)):
        return refused(reason)
    if reason := state.spec.why_unsupported(command.op):
        return refused(reason)
    match command:
        case c.Pause():
            return _pause(state)
        case c.Resume():
            return _resume(state)
        case c.RunSteps():
            return _run_steps(state, command)
        case c.ScaleLr():
            return _scale_lr(state, command)
        case c.SetLr():
            return _set_lr(state, command, at_epoch)
        case c.PromotePhase():
            return _promote(state, command)
        case c.DemotePhase():
            return _demote(state)
        case c.EnableRefinement():
            return _enable(state, command)
        case c.DisableRefinement():
            return _disable(state, command)
        case c.SetLossWeight():
            return _set_weight(state, command)
        case c.SetGradientClip():
            return _set_clip(state, command)
        case c.SetAccumulation():
            return _set_accumulation(state, command)
        case c.SetBatchSize():
            return _set_batch_size(state, command)
        case c.SetOptimizer():
            return _set_optimizer(state, command)
        case c.Rollback():
            return _rollback(state, command)
        case c.SaveCheckpoint() | c.Validate() | c.TakeHistogram() | c.AddNote() | c.Stop():
            return _request(state, command)
        case c.SetGuardian():
            return _set_guardian(state, command)
        case c.SetAutopilot():
            return _set_autopilot(state, command)
        case c.ExcludeSamples():
            return _exclude(state, command)
        case c.SetKnob():
            return _set_knob(state, command)


def _request(state: RunState, command: c.SaveCheckpoint | c.Validate | c.TakeHistogram | c.AddNote | c.Stop) -> Outcome:
    """Return the outcome of a command that every running run applies; it is refused only if its text is empty."""
    match command:
        case c.SaveCheckpoint():
            return applied(e.CheckpointRequested())
        case c.Validate():
            return applied(e.ValidationRequested())
        case c.TakeHistogram():
            return applied(e.HistogramRequested(command.layer)) if command.layer else refused("no layer is named")
        case c.AddNote():
            return applied(e.NoteAdded(command.text)) if command.text.strip() else refused("the note is empty")
        case c.Stop():
            return applied(e.StopRequested(command.reason, before=state.activity.value))


def _pause(state: RunState) -> Outcome:
    if state.activity is Activity.PAUSED:
        return refused("already paused")
    return applied(e.Paused(before=state.activity.value))


def _resume(state: RunState) -> Outcome:
    if state.activity is not Activity.PAUSED and state.steps_until_pause is None:
        return refused("not paused")
    return applied(e.Resumed(before=state.activity.value))


def _run_steps(state: RunState, command: c.RunSteps) -> Outcome:
    if not 1 <= command.num_steps <= 1_000_000:
        return refused(f"steps must be in 1..1,000,000, not {command.num_steps}")
    return applied(e.StepsGranted(before=state.steps_until_pause or 0, after=command.num_steps))


def _clamp_lr(state: RunState, asked: float, *, free_up_to: float = 0.0) -> tuple[float, str]:
    """Return the learning rate nearest to `asked` within the limits, and why it differs or an empty string."""
    bounds = state.limits
    value, reason = asked, ""
    top = max(state.lr * bounds.max_lr_factor, free_up_to)
    if state.lr > 0 and value > top * (1 + 1e-9):
        value, reason = top, _too_fast(bounds.max_lr_factor, free_up_to)
    if value > bounds.lr_max:
        value, reason = bounds.lr_max, f"the learning rate's upper bound is {bounds.lr_max:g}"
    if value < bounds.lr_min:
        value, reason = bounds.lr_min, f"the learning rate's lower bound is {bounds.lr_min:g}"
    return value, reason


def _too_fast(factor: float, free_up_to: float) -> str:
    configured = f", or the configured {free_up_to:g}," if free_up_to else ""
    return f"at most x{factor:g}{configured} in one command"


def _scale_lr(state: RunState, command: c.ScaleLr) -> Outcome:
    if not (math.isfinite(command.factor) and command.factor > 0):
        return refused(f"the factor must be a positive number, not {command.factor:g}")
    if state.lr <= 0:
        return refused("no learning rate is in effect before the first step")
    value, reason = _clamp_lr(state, state.lr * command.factor)
    if value == state.lr:
        return refused(reason or f"the learning rate is {value:g} already")
    event = e.LrScaled(before=state.lr, after=value, scale=state.lr_scale * value / state.lr)
    return clamped(event, reason) if reason else applied(event)


def _set_lr(state: RunState, command: c.SetLr, at_epoch: float) -> Outcome:
    if not (math.isfinite(command.value) and command.value > 0):
        return refused(f"the learning rate must be a positive number, not {command.value:g}")
    value, reason = _clamp_lr(state, command.value, free_up_to=state.limits.lr_configured)
    event = e.LrSet(before=state.lr, after=value, at_epoch=at_epoch)
    return clamped(event, reason) if reason else applied(event)


def _promote(state: RunState, command: c.PromotePhase) -> Outcome:
    spec = state.spec
    if reason := spec.why_no_next(state.phase):
        return refused(reason)
    if clash := spec.why_not_enter(state.phase + 1, state.refinements):
        return refused(clash)
    red = [f"{check.name} is {check.value}, must be {check.bound}" for check in state.gate if not check.passed]
    if red and not command.force:
        return refused("; ".join(red) + " (--force promotes all the same)")
    fresh = tuple(name for name in spec.phases[state.phase + 1].adds if name not in state.refinements)
    after = spec.phase_of(state.refinements | set(fresh))
    return applied(e.PhasePromoted(before=state.phase, after=after, enabled=fresh, forced=bool(red)))


def _demote(state: RunState) -> Outcome:
    if state.phase == 0:
        return refused("phase 0 is the first" if state.spec.last_phase else NO_PHASES)
    gone = tuple(name for name in state.spec.phases[state.phase].adds if name in state.refinements)
    after = state.spec.phase_of(state.refinements - set(gone))
    return applied(e.PhaseDemoted(before=state.phase, after=after, disabled=gone))


def _unknown(state: RunState, name: str) -> str:
    """Return why `name` cannot be switched; an empty string if it is a component of the task."""
    spec = state.spec
    if name in spec.component_names:
        return ""
    known = f"there are {', '.join(spec.component_names)}" if spec.components else "this task has none"
    return f"no {spec.component_noun} is called {name!r}; {known}"


def _enable(state: RunState, command: c.EnableRefinement) -> Outcome:
    if unknown := _unknown(state, command.name):
        return refused(unknown)
    if command.name in state.refinements:
        return refused(f"{command.name} is on already")
    if rivals := state.spec.rivals(command.name, state.refinements):
        return refused(f"{command.name} and {min(rivals)} exclude each other; disable that one first")
    return applied(e.RefinementEnabled(command.name))


def _disable(state: RunState, command: c.DisableRefinement) -> Outcome:
    if unknown := _unknown(state, command.name):
        return refused(unknown)
    if command.name not in state.refinements:
        return refused(f"{command.name} is off already")
    return applied(e.RefinementDisabled(command.name))


def _set_weight(state: RunState, command: c.SetLossWeight) -> Outcome:
    if command.term not in state.spec.term_names:
        known = f"there are {', '.join(state.spec.term_names)}" if state.spec.terms else "no term is known yet"
        return refused(f"no loss term is called {command.term!r}; {known}")
    if not (math.isfinite(command.value) and command.value >= 0):
        return refused(f"a loss weight must be zero or more, not {command.value:g}")
    before, top = state.loss_weights.get(command.term, 0.0), state.limits.max_loss_weight
    if command.value > top:
        return clamped(e.LossWeightSet(command.term, before, top), f"a loss weight's upper bound is {top:g}")
    return applied(e.LossWeightSet(command.term, before, command.value))


def _set_clip(state: RunState, command: c.SetGradientClip) -> Outcome:
    top = state.limits.max_gradient_clip
    is_off = command.value == top == math.inf
    if not (command.value > 0 and (math.isfinite(command.value) or is_off)):
        return refused(f"the gradient clip must be a positive number, not {command.value:g}")
    if command.value > top:
        return clamped(e.GradientClipSet(state.gradient_clip, top), f"the gradient clip's upper bound is {top:g}")
    return applied(e.GradientClipSet(state.gradient_clip, command.value))


def _set_accumulation(state: RunState, command: c.SetAccumulation) -> Outcome:
    if command.num_batches < 1:
        return refused(f"accumulation must be at least 1, not {command.num_batches}")
    top = state.limits.max_accumulation
    if command.num_batches > top:
        return clamped(e.AccumulationSet(state.accumulation, top), f"accumulation's upper bound is {top}")
    return applied(e.AccumulationSet(state.accumulation, command.num_batches))


def _set_batch_size(state: RunState, command: c.SetBatchSize) -> Outcome:
    if command.num_rois < 1:
        return refused(f"the batch size must be at least 1, not {command.num_rois}")
    top = state.limits.max_batch_size
    if command.num_rois > top:
        return clamped(e.BatchSizeSet(state.batch_size, top), f"the batch size's upper bound is {top}")
    return applied(e.BatchSizeSet(state.batch_size, command.num_rois))


def _set_optimizer(state: RunState, command: c.SetOptimizer) -> Outcome:
    if command.name not in OPTIMIZERS:
        return refused(f"no optimizer is called {command.name!r}; there are {', '.join(OPTIMIZERS)}")
    if command.name == state.optimizer:
        return refused(f"the optimizer is {command.name} already")
    return applied(e.OptimizerSet(state.optimizer, command.name))


def _set_guardian(state: RunState, command: c.SetGuardian) -> Outcome:
    if command.enabled == state.guardian:
        return refused(f"the guardian is {'on' if state.guardian else 'off'} already")
    return applied(e.GuardianSet(state.guardian, command.enabled))


def _set_autopilot(state: RunState, command: c.SetAutopilot) -> Outcome:
    if command.enabled == state.autopilot:
        return refused(f"the autopilot is {'on' if state.autopilot else 'off'} already")
    return applied(e.AutopilotSet(state.autopilot, command.enabled))


def _exclude(state: RunState, command: c.ExcludeSamples) -> Outcome:
    fresh = tuple(name for name in dict.fromkeys(command.sample_ids) if name and name not in state.excluded_samples)
    if not fresh:
        return refused("every sample named is excluded already" if command.sample_ids else "no sample is named")
    before = len(state.excluded_samples)
    return applied(e.SamplesExcluded(fresh, before, before + len(fresh)))


def _set_knob(state: RunState, command: c.SetKnob) -> Outcome:
    name, knob = command.name, state.knobs.get(command.name)
    if knob is None:
        known = did_you_mean(name, state.knobs) if state.knobs else "this run has none"
        return refused(f"no knob is called {name!r}; {known}")
    asked = knob.as_value(command.value)
    if asked is None:
        return refused(f"{name} takes {knob.expected}, not {knob_text(command.value)}")
    value, reason = knob.clamp(asked)
    if value == knob.value:
        return refused(f"{name}'s {reason}" if reason else f"{name} is {knob_text(value)} already")
    event = e.KnobSet(name, knob.value, value)
    return clamped(event, f"{name}'s {reason}") if reason else applied(event)


def _rollback(state: RunState, command: c.Rollback) -> Outcome:
    wanted = command.checkpoint.removesuffix(".pt")
    if not command.checkpoint or wanted == "last-good":
        good = state.good_checkpoint
        return applied(e.RollbackRequested(good)) if good else refused("no good checkpoint exists yet")
    if wanted == "best" and "best.pt" not in state.checkpoints and state.best_step is not None:
        wanted = str(state.best_step)
    names = [name for name in state.checkpoints if wanted and wanted in (name.removesuffix(".pt"), _step_of(name))]
    if not names:
        known = ", ".join(state.checkpoints) or "none yet"
        return refused(f"no checkpoint is called {command.checkpoint!r}; there are {known}")
    return applied(e.RollbackRequested(names[0]))


def _step_of(name: str) -> str:
    """Return the step in a checkpoint's file name, without leading zeros: '120' of `step-00000120.pt`."""
    digits = name.removesuffix(".pt").rpartition("-")[2]
    return digits.lstrip("0") or "0" if digits.isdigit() else ""
