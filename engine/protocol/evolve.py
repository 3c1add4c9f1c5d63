"""Fold events into the decided part of a run's state, which changes in no other way."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from engine.protocol import events as e
from engine.protocol.commands import GUARDIAN
from engine.protocol.events import Activity, Event
from engine.protocol.state import Knob, LrPin, Probation, RunState, with_decided, with_measured


def evolve(state: RunState, event: Event, step: int, *, actor: str = "") -> RunState:
    """Return the state after `event` of `actor` at the boundary before `step`.

    This is a pure function, so that all processes compute the same state.
    """
    change = _CHANGES.get(type(event))
    after = change(state, event, step) if change else state
    if isinstance(event, e.RolledBack) and actor == GUARDIAN:
        return with_decided(after, rollbacks=state.rollbacks + 1)
    return after


def _paused(state: RunState, event: e.Paused, step: int) -> RunState:
    return with_decided(with_measured(state, steps_until_pause=None), activity=Activity.PAUSED)


def _resumed(state: RunState, event: e.Resumed, step: int) -> RunState:
    return with_decided(with_measured(state, steps_until_pause=None), activity=Activity.RUNNING)


def _steps_granted(state: RunState, event: e.StepsGranted, step: int) -> RunState:
    return with_decided(with_measured(state, steps_until_pause=event.after), activity=Activity.RUNNING)


def _lr_scaled(state: RunState, event: e.LrScaled, step: int) -> RunState:
    return with_decided(with_measured(state, lr=event.after), lr_scale=event.scale)


def _lr_set(state: RunState, event: e.LrSet, step: int) -> RunState:
    return with_decided(with_measured(state, lr=event.after), lr_scale=1.0, lr_pin=LrPin(event.after, event.at_epoch))


def _switched(state: RunState, refinements: frozenset[str], step: int) -> RunState:
    """Return the state with another set of refinements. New ones start their blend-in at `step`.

    The phase follows from the set. Leaving a phase on probation ends the probation.
    """
    kept = {name: at for name, at in state.enabled_at.items() if name in refinements}
    fresh = {name: step for name in sorted(refinements - state.refinements)}
    phase = state.spec.phase_of(refinements)
    on_probation = state.probation is not None and phase > state.probation.former_phase
    return with_decided(
        state,
        probation=state.probation if on_probation else None,
        refinements=refinements,
        enabled_at=MappingProxyType({**kept, **fresh}),
        phase=phase,
        phase_started_at=state.phase_started_at if phase == state.phase else step,
    )


def _promoted(state: RunState, event: e.PhasePromoted, step: int) -> RunState:
    return _switched(state, state.refinements | set(event.enabled), step)


def _demoted(state: RunState, event: e.PhaseDemoted, step: int) -> RunState:
    return _switched(state, state.refinements - set(event.disabled), step)


def _enabled(state: RunState, event: e.RefinementEnabled, step: int) -> RunState:
    return _switched(state, state.refinements | {event.name}, step)


def _disabled(state: RunState, event: e.RefinementDisabled, step: int) -> RunState:
    return _switched(state, state.refinements - {event.name}, step)


def _weight_set(state: RunState, event: e.LossWeightSet, step: int) -> RunState:
    return with_decided(state, loss_weights=MappingProxyType({**state.loss_weights, event.term: event.after}))


def _clip_set(state: RunState, event: e.GradientClipSet, step: int) -> RunState:
    return with_decided(state, gradient_clip=event.after)


def _accumulation_set(state: RunState, event: e.AccumulationSet, step: int) -> RunState:
    return with_decided(state, accumulation=event.after)


def _batch_size_set(state: RunState, event: e.BatchSizeSet, step: int) -> RunState:
    return with_decided(state, batch_size=event.after)


def _optimizer_set(state: RunState, event: e.OptimizerSet, step: int) -> RunState:
    return with_decided(state, optimizer=event.after)


def _stop_requested(state: RunState, event: e.StopRequested, step: int) -> RunState:
    return with_decided(with_measured(state, steps_until_pause=None), activity=Activity.STOPPING)


def _activity_changed(state: RunState, event: e.ActivityChanged, step: int) -> RunState:
    return with_decided(state, activity=event.after)


def _validated(state: RunState, event: e.ValidationCompleted, step: int) -> RunState:
    """Return the state with the score. A score that is not finite, or has a non-finite loss, is never the best."""
    score = event.metrics.get(state.spec.score, math.nan)
    if not (math.isfinite(score) and (event.loss is None or math.isfinite(event.loss))):
        return with_decided(state, score=score)
    best = state.spec.better(state.best_score, score)
    best_step = state.best_step if best == state.best_score else step
    return with_decided(state, score=score, best_score=best, best_step=best_step)


def _checkpointed(state: RunState, event: e.CheckpointSaved, step: int) -> RunState:
    good = event.path if event.good else state.good_checkpoint
    return with_decided(with_measured(state, good_checkpoint=good), last_checkpoint=event.path)


def _rolled_back(state: RunState, event: e.RolledBack, step: int) -> RunState:
    """Return the state at the checkpoint: later steps are moved back to it, and interventions are kept."""
    return with_decided(
        state,
        enabled_at=MappingProxyType({name: min(at, event.after) for name, at in state.enabled_at.items()}),
        phase_started_at=min(state.phase_started_at, event.after),
    )


def _skipped(state: RunState, event: e.StepSkipped, step: int) -> RunState:
    return with_decided(state, skipped_steps=state.skipped_steps + 1)


def _rejected(state: RunState, event: e.SampleRejected, step: int) -> RunState:
    return with_decided(state, rejected_samples=state.rejected_samples + 1)


def _alerted(state: RunState, event: e.AlertRaised, step: int) -> RunState:
    return with_decided(state, alerts=state.alerts + 1)


def _spiked(state: RunState, event: e.SpikeDetected, step: int) -> RunState:
    return with_decided(state, spikes=state.spikes + 1)


def _fault_named(state: RunState, event: e.FaultNamed, step: int) -> RunState:
    where = f"{event.operation} in {event.module}" if event.module else event.verdict
    direction = f" ({event.direction})" if event.direction else ""
    return with_decided(state, fault=f"step {event.at_step}: {where}{direction}")


def _probation_started(state: RunState, event: e.ProbationStarted, step: int) -> RunState:
    probation = Probation(event.checkpoint, event.former_phase, event.until_step, event.enabled)
    return with_decided(state, probation=probation)


def _probation_ended(state: RunState, event: e.ProbationEnded, step: int) -> RunState:
    return with_decided(state, probation=None)


def _guardian_set(state: RunState, event: e.GuardianSet, step: int) -> RunState:
    return with_decided(state, guardian=event.after)


def _autopilot_set(state: RunState, event: e.AutopilotSet, step: int) -> RunState:
    return with_decided(state, autopilot=event.after)


def _samples_excluded(state: RunState, event: e.SamplesExcluded, step: int) -> RunState:
    return with_decided(state, excluded_samples=state.excluded_samples | set(event.sample_ids))


def _task_described(state: RunState, event: e.TaskDescribed, step: int) -> RunState:
    """Return the state with another spec; new terms have their default weight, another score has no best value yet."""
    spec = event.spec
    fresh = {term.name: term.weight for term in spec.terms}
    described = with_decided(
        state,
        spec=spec,
        loss_weights=MappingProxyType({**fresh, **state.loss_weights}),
        phase=spec.phase_of(state.refinements),
    )
    if (spec.score, spec.lower_is_better) == (state.spec.score, state.spec.lower_is_better):
        return described
    return with_decided(described, score=None, best_score=None, best_step=None)


def _knob_declared(state: RunState, event: e.KnobDeclared, step: int) -> RunState:
    return _with_knob(state, event.name, Knob(event.value, event.low, event.high, event.choices))


def _knob_set(state: RunState, event: e.KnobSet, step: int) -> RunState:
    """Return the state with another value of a knob; without a change if no such knob is declared."""
    knob = state.knobs.get(event.name)
    return state if knob is None else _with_knob(state, event.name, replace(knob, value=event.after))


def _with_knob(state: RunState, name: str, knob: Knob) -> RunState:
    return with_decided(state, knobs=MappingProxyType({**state.knobs, name: knob}))


def _finished(state: RunState, event: e.RunFinished, step: int) -> RunState:
    return with_decided(state, activity=Activity.FINISHED)


def _failed(state: RunState, event: e.RunFailed, step: int) -> RunState:
    return with_decided(state, activity=Activity.FAILED)


# `Any`: each function takes the event that is its key, for which there is no common type.
_CHANGES: Mapping[type[Event], Callable[[RunState, Any, int], RunState]] = {
    e.Paused: _paused,
    e.Resumed: _resumed,
    e.StepsGranted: _steps_granted,
    e.LrScaled: _lr_scaled,
    e.LrSet: _lr_set,
    e.PhasePromoted: _promoted,
    e.PhaseDemoted: _demoted,
    e.RefinementEnabled: _enabled,
    e.RefinementDisabled: _disabled,
    e.LossWeightSet: _weight_set,
    e.GradientClipSet: _clip_set,
    e.AccumulationSet: _accumulation_set,
    e.BatchSizeSet: _batch_size_set,
    e.OptimizerSet: _optimizer_set,
    e.StopRequested: _stop_requested,
    e.ActivityChanged: _activity_changed,
    e.ValidationCompleted: _validated,
    e.CheckpointSaved: _checkpointed,
    e.RolledBack: _rolled_back,
    e.StepSkipped: _skipped,
    e.SampleRejected: _rejected,
    e.AlertRaised: _alerted,
    e.SpikeDetected: _spiked,
    e.FaultNamed: _fault_named,
    e.ProbationStarted: _probation_started,
    e.ProbationEnded: _probation_ended,
    e.GuardianSet: _guardian_set,
    e.AutopilotSet: _autopilot_set,
    e.SamplesExcluded: _samples_excluded,
    e.TaskDescribed: _task_described,
    e.KnobDeclared: _knob_declared,
    e.KnobSet: _knob_set,
    e.RunFinished: _finished,
    e.RunFailed: _failed,
}
