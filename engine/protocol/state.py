"""The state of a run as every side holds it, and `evolve`, the only way an event changes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from engine.protocol import events as e
from engine.protocol.events import Activity, Event
from engine.protocol.task_spec import NO_SPEC, TaskSpec


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on interventions: an absolute band for the learning rate and the most it may grow in one command.

    Up to `lr_configured`, the peak of the schedule, it may be set at once: early in warm-up the rate is far below it.
    """

    lr_min: float = 1e-9
    lr_max: float = 1e-2
    lr_configured: float = 0.0
    max_lr_factor: float = 10.0
    max_batch_size: int = 1024
    max_accumulation: int = 1024
    max_loss_weight: float = 100.0
    max_gradient_clip: float = 1000.0


VALIDATION: Final = "validation"
"""How the name of the gate's check of the score begins, which a validation measures; all others need steps only."""


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One condition for a promotion, with the value measured and the bound it is held against.

    What was not `measured` yet is pending: it has not passed, and has not failed either.
    """

    name: str
    value: str
    bound: str
    passed: bool
    measured: bool = True

    @property
    def needs_validation(self) -> bool:
        """Whether a validation measures it, rather than further steps."""
        return self.name.startswith(f"{VALIDATION} ")


@dataclass(frozen=True, slots=True)
class LrPin:
    """A learning rate set by hand at `at_epoch` (epochs, fractional): warm-up is over, the decay goes on from it."""

    value: float
    at_epoch: float


@dataclass(frozen=True, slots=True)
class Probation:
    """After a promotion that switched `enabled` on: until `until_step` a fault takes the run back.

    It goes back to `checkpoint` and phase `former_phase`.
    """

    checkpoint: str
    former_phase: int
    until_step: int
    enabled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunState:
    """Everything about a run that is not a tensor. Immutable; a checkpoint holds one and so does the journal.

    `enabled_at` names the step a refinement came on, for those that were not on from the start. `doing` is what the
    engine is at, in words ('importing torch'), '' while it takes steps; `clip_rate` the share (0..1) of the newest
    steps whose gradient was clipped; `fault` the newest named fault in words; `rollbacks` counts the guardian's own.
    `spec` is what the task says of itself: constant, and kept once in the journal's meta rather than in each state.
    """

    run: str
    activity: Activity = Activity.STARTING
    device: str = ""
    step: int = 0
    epoch: int = 0
    total_steps: int = 0
    lr: float = 0.0
    lr_scale: float = 1.0
    lr_pin: LrPin | None = None
    phase: int = 0
    phase_started_at: int = 0
    refinements: frozenset[str] = frozenset()
    enabled_at: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    loss_weights: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    gradient_clip: float = 1.0
    accumulation: int = 1
    batch_size: int = 2
    optimizer: str = "adamw"
    steps_until_pause: int | None = None
    gate: tuple[GateCheck, ...] = ()
    loss: float | None = None
    grad_norm: float | None = None
    score: float | None = None
    best_score: float | None = None
    skipped_steps: int = 0
    clamp_hits: int = 0
    alerts: int = 0
    rejected_samples: int = 0
    last_checkpoint: str = ""
    good_checkpoint: str = ""
    checkpoints: tuple[str, ...] = ()
    samples_per_second: float = 0.0
    doing: str = ""
    guardian: bool = True
    autopilot: bool = False
    spikes: int = 0
    clip_rate: float = 0.0
    rollbacks: int = 0
    fault: str = ""
    probation: Probation | None = None
    excluded_samples: frozenset[str] = frozenset()
    limits: Limits = Limits()
    spec: TaskSpec = NO_SPEC


def evolve(state: RunState, event: Event, step: int) -> RunState:
    """The state after `event` happened at the boundary before `step`. Pure; every side computes the same."""
    change = _CHANGES.get(type(event))
    return change(state, event, step) if change else state


def _paused(state: RunState, event: e.Paused, step: int) -> RunState:
    return replace(state, activity=Activity.PAUSED, steps_until_pause=None)


def _resumed(state: RunState, event: e.Resumed, step: int) -> RunState:
    return replace(state, activity=Activity.RUNNING, steps_until_pause=None)


def _steps_granted(state: RunState, event: e.StepsGranted, step: int) -> RunState:
    return replace(state, activity=Activity.RUNNING, steps_until_pause=event.after)


def _lr_scaled(state: RunState, event: e.LrScaled, step: int) -> RunState:
    return replace(state, lr=event.after, lr_scale=event.scale)


def _lr_set(state: RunState, event: e.LrSet, step: int) -> RunState:
    return replace(state, lr=event.after, lr_scale=1.0, lr_pin=LrPin(event.after, event.at_epoch))


def _switched(state: RunState, refinements: frozenset[str], step: int) -> RunState:
    """Refinements changed: fresh ones start their blend-in at `step`, the phase follows from the set.

    Whoever leaves a phase that is on probation ends that.
    """
    kept = {name: at for name, at in state.enabled_at.items() if name in refinements}
    fresh = {name: step for name in sorted(refinements - state.refinements)}
    phase = state.spec.phase_of(refinements)
    on_probation = state.probation is not None and phase > state.probation.former_phase
    return replace(
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
    return replace(state, loss_weights=MappingProxyType({**state.loss_weights, event.term: event.after}))


def _clip_set(state: RunState, event: e.GradientClipSet, step: int) -> RunState:
    return replace(state, gradient_clip=event.after)


def _accumulation_set(state: RunState, event: e.AccumulationSet, step: int) -> RunState:
    return replace(state, accumulation=event.after)


def _batch_size_set(state: RunState, event: e.BatchSizeSet, step: int) -> RunState:
    return replace(state, batch_size=event.after)


def _optimizer_set(state: RunState, event: e.OptimizerSet, step: int) -> RunState:
    return replace(state, optimizer=event.after)


def _stop_requested(state: RunState, event: e.StopRequested, step: int) -> RunState:
    return replace(state, activity=Activity.STOPPING, steps_until_pause=None)


def _activity_changed(state: RunState, event: e.ActivityChanged, step: int) -> RunState:
    return replace(state, activity=event.after)


def _validated(state: RunState, event: e.ValidationCompleted, step: int) -> RunState:
    """A validation whose loss or score is not finite is no best one."""
    score = event.metrics.get(state.spec.score, math.nan)
    if not (math.isfinite(event.loss) and math.isfinite(score)):
        return replace(state, score=score)
    return replace(state, score=score, best_score=state.spec.better(state.best_score, score))


def _checkpointed(state: RunState, event: e.CheckpointSaved, step: int) -> RunState:
    return replace(
        state,
        last_checkpoint=event.path,
        good_checkpoint=event.path if event.good else state.good_checkpoint,
    )


def _skipped(state: RunState, event: e.StepSkipped, step: int) -> RunState:
    return replace(state, skipped_steps=state.skipped_steps + 1)


def _rejected(state: RunState, event: e.SampleRejected, step: int) -> RunState:
    return replace(state, rejected_samples=state.rejected_samples + 1)


def _alerted(state: RunState, event: e.AlertRaised, step: int) -> RunState:
    return replace(state, alerts=state.alerts + 1)


def _spiked(state: RunState, event: e.SpikeDetected, step: int) -> RunState:
    return replace(state, spikes=state.spikes + 1)


def _fault_named(state: RunState, event: e.FaultNamed, step: int) -> RunState:
    where = f"{event.operation} in {event.module}" if event.module else event.verdict
    direction = f" ({event.direction})" if event.direction else ""
    return replace(state, fault=f"step {event.at_step}: {where}{direction}")


def _probation_started(state: RunState, event: e.ProbationStarted, step: int) -> RunState:
    probation = Probation(event.checkpoint, event.former_phase, event.until_step, event.enabled)
    return replace(state, probation=probation)


def _probation_ended(state: RunState, event: e.ProbationEnded, step: int) -> RunState:
    return replace(state, probation=None)


def _guardian_set(state: RunState, event: e.GuardianSet, step: int) -> RunState:
    return replace(state, guardian=event.after)


def _autopilot_set(state: RunState, event: e.AutopilotSet, step: int) -> RunState:
    return replace(state, autopilot=event.after)


def _samples_excluded(state: RunState, event: e.SamplesExcluded, step: int) -> RunState:
    return replace(state, excluded_samples=state.excluded_samples | set(event.sample_ids))


def _finished(state: RunState, event: e.RunFinished, step: int) -> RunState:
    return replace(state, activity=Activity.FINISHED)


def _failed(state: RunState, event: e.RunFailed, step: int) -> RunState:
    return replace(state, activity=Activity.FAILED)


# Each function takes the event that it stands beside, which no common type can say: hence Any.
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
    e.RunFinished: _finished,
    e.RunFailed: _failed,
}
