"""Define the state of a run: the decided part, which `evolve` alone changes, and the measured part.

Each field is in a dataclass, for readers, and in a TypedDict, by which a type checker sees every change of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, TypedDict, Unpack

from engine.protocol.events import Activity
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
class Decided:
    """The part of a state that the run's events determine: folding them by `evolve` gives it again.

    `enabled_at` names the step a refinement came on, for those that were not on from the start. `fault` is the newest
    named fault in words; `rollbacks` counts the guardian's own. `limits` and `spec` are constant; the spec is kept once
    in the journal's meta rather than in each state.
    """

    run: str
    activity: Activity = Activity.STARTING
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
    score: float | None = None
    best_score: float | None = None
    skipped_steps: int = 0
    alerts: int = 0
    rejected_samples: int = 0
    last_checkpoint: str = ""
    guardian: bool = True
    autopilot: bool = False
    spikes: int = 0
    rollbacks: int = 0
    fault: str = ""
    probation: Probation | None = None
    excluded_samples: frozenset[str] = frozenset()
    limits: Limits = Limits()
    spec: TaskSpec = NO_SPEC


@dataclass(frozen=True, slots=True)
class RunState(Decided):
    """Everything about a run that is not a tensor. Immutable; a checkpoint holds one and so does the journal.

    The measured part is read off the engine, the clock and the disk. `gate` holds the newest measurement of every
    check; `good_checkpoint` and `checkpoints` name files that are there; `steps_until_pause` is counted down. `doing`
    is what the engine is at, in words ('importing torch'), '' while it takes steps; `clip_rate` the share (0..1) of the
    newest steps whose gradient was clipped. An event that states such a value brings it before it is measured next.
    """

    device: str = ""
    step: int = 0
    epoch: int = 0
    total_steps: int = 0
    lr: float = 0.0
    steps_until_pause: int | None = None
    gate: tuple[GateCheck, ...] = ()
    loss: float | None = None
    grad_norm: float | None = None
    clamp_hits: int = 0
    good_checkpoint: str = ""
    checkpoints: tuple[str, ...] = ()
    samples_per_second: float = 0.0
    doing: str = ""
    clip_rate: float = 0.0


class Decisions(TypedDict, total=False):
    """New values of decided fields; `run` and `spec` never change."""

    activity: Activity
    lr_scale: float
    lr_pin: LrPin | None
    phase: int
    phase_started_at: int
    refinements: frozenset[str]
    enabled_at: Mapping[str, int]
    loss_weights: Mapping[str, float]
    gradient_clip: float
    accumulation: int
    batch_size: int
    optimizer: str
    score: float | None
    best_score: float | None
    skipped_steps: int
    alerts: int
    rejected_samples: int
    last_checkpoint: str
    guardian: bool
    autopilot: bool
    spikes: int
    rollbacks: int
    fault: str
    probation: Probation | None
    excluded_samples: frozenset[str]
    limits: Limits


class Measurements(TypedDict, total=False):
    """New values of measured fields."""

    device: str
    step: int
    epoch: int
    total_steps: int
    lr: float
    steps_until_pause: int | None
    gate: tuple[GateCheck, ...]
    loss: float | None
    grad_norm: float | None
    clamp_hits: int
    good_checkpoint: str
    checkpoints: tuple[str, ...]
    samples_per_second: float
    doing: str
    clip_rate: float


def with_decided(state: RunState, **decided: Unpack[Decisions]) -> RunState:
    """Return `state` with new decided values: for `evolve`, and for the state that a resumed run starts from."""
    return replace(state, **decided)


def with_measured(state: RunState, **measured: Unpack[Measurements]) -> RunState:
    """Return `state` with new measured values."""
    return replace(state, **measured)
