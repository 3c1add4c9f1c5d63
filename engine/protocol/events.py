"""What happened: past tense. Steering events change the state; facts are what the engine saw or did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Activity(StrEnum):
    """What the engine is doing, as `status` reports it."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    VALIDATING = "validating"
    STOPPING = "stopping"
    FINISHED = "finished"
    FAILED = "failed"


# --- steering: each answers one command -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paused:
    """Training stands still at a step boundary."""

    before: str
    after: str = Activity.PAUSED.value


@dataclass(frozen=True, slots=True)
class Resumed:
    """Training goes on."""

    before: str
    after: str = Activity.RUNNING.value


@dataclass(frozen=True, slots=True)
class StepsGranted:
    """Training runs `after` more steps, then pauses."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class LrScaled:
    """The learning rate went from `before` to `after`; `scale` is the new total factor on the schedule."""

    before: float
    after: float
    scale: float


@dataclass(frozen=True, slots=True)
class LrSet:
    """The learning rate was pinned to `after` at progress `at_epoch` (epochs, fractional)."""

    before: float
    after: float
    at_epoch: float


@dataclass(frozen=True, slots=True)
class PhasePromoted:
    """Phase `after` began; `enabled` refinements came on. `forced` when a check of the gate was red."""

    before: int
    after: int
    enabled: tuple[str, ...]
    forced: bool = False


@dataclass(frozen=True, slots=True)
class PhaseDemoted:
    """The run went back to phase `after`; `disabled` refinements went off."""

    before: int
    after: int
    disabled: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefinementEnabled:
    """The refinement `name` is on."""

    name: str
    before: bool = False
    after: bool = True


@dataclass(frozen=True, slots=True)
class RefinementDisabled:
    """The refinement `name` is off."""

    name: str
    before: bool = True
    after: bool = False


@dataclass(frozen=True, slots=True)
class LossWeightSet:
    """The loss term `term` has a new weight."""

    term: str
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class GradientClipSet:
    """The gradient-norm bound changed."""

    before: float
    after: float


@dataclass(frozen=True, slots=True)
class AccumulationSet:
    """The number of batches per update changed."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class BatchSizeSet:
    """The number of regions of interest per batch changed."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class OptimizerSet:
    """The optimizer changed; its moments were kept."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class CheckpointRequested:
    """A checkpoint is due at this boundary; `CheckpointSaved` answers the command."""


@dataclass(frozen=True, slots=True)
class RollbackRequested:
    """A rollback to `checkpoint` is due at this boundary; `RolledBack` answers the command."""

    checkpoint: str


@dataclass(frozen=True, slots=True)
class ValidationRequested:
    """A validation is due at this boundary; `ValidationCompleted` answers the command."""


@dataclass(frozen=True, slots=True)
class NoteAdded:
    """Somebody wrote something down."""

    text: str


@dataclass(frozen=True, slots=True)
class GuardianSet:
    """The guardian acts by itself from now on, or no longer."""

    before: bool
    after: bool


@dataclass(frozen=True, slots=True)
class AutopilotSet:
    """The autopilot walks the phases from now on, or no longer."""

    before: bool
    after: bool


@dataclass(frozen=True, slots=True)
class SamplesExcluded:
    """Training passes over the batches that hold one of these samples; `before` and `after` count all excluded."""

    sample_ids: tuple[str, ...]
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The run ends after this step, with a checkpoint."""

    reason: str
    before: str
    after: str = Activity.STOPPING.value


@dataclass(frozen=True, slots=True)
class CommandRefused:
    """A command that changed nothing; the reason is beside it."""

    op: str
    args: Mapping[str, object]


# --- facts ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Training begins at this step."""

    device: str
    num_parameters: int
    num_train_samples: int
    num_val_samples: int
    total_steps: int
    resumed_from: str = ""


@dataclass(frozen=True, slots=True)
class WeightsInherited:
    """Weights came from another run's checkpoint; `missing` and `unexpected` did not fit."""

    checkpoint: str
    num_loaded: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ActivityChanged:
    """The engine turned to something else."""

    before: Activity
    after: Activity


@dataclass(frozen=True, slots=True)
class EpochCompleted:
    """Every training sample of `epoch` (0-based) was seen once."""

    epoch: int
    seconds: float
    mean_loss: float


@dataclass(frozen=True, slots=True)
class ValidationCompleted:
    """One pass over the validation split; IoU and boundary F lie in 0..1."""

    loss: float
    miou: float
    iou_background: float
    iou_target: float
    iou_other: float
    boundary_f: float
    seconds: float


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint is on disk, synced and checksummed.

    `kind`: start, step, epoch, best, asked, promotion, rollback, final.
    """

    path: str
    kind: str
    loss: float
    miou: float | None
    good: bool


@dataclass(frozen=True, slots=True)
class CheckpointFailed:
    """A checkpoint could not be written; training goes on with the ones before."""

    path: str
    error: str


@dataclass(frozen=True, slots=True)
class CheckpointDamaged:
    """A checkpoint did not match its checksum or could not be read; the one before is used."""

    path: str
    error: str


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Weights, moments, random state and data position are those of `checkpoint` again; steering is kept."""

    checkpoint: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """A non-finite step: nothing was updated. Terms and modules that were not finite, and which samples."""

    terms: tuple[str, ...]
    modules: tuple[str, ...]
    sample_ids: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class SampleRejected:
    """A training or validation file could not be used; another sample took its place."""

    file: str
    error: str


@dataclass(frozen=True, slots=True)
class AlertRaised:
    """Something a person should see: what, the evidence, and the remedy in SEED.md's words where it has one.

    `term`, `module` and `operation` say where, as far as it is known; `at_step` which step it was, 0 for none.
    """

    kind: str
    message: str
    remedy: str = ""
    term: str = ""
    module: str = ""
    operation: str = ""
    at_step: int = 0


@dataclass(frozen=True, slots=True)
class SpikeDetected:
    """`metric` jumped at step `at_step`: `score` robust deviations above the `centre` of what came before."""

    metric: str
    at_step: int
    value: float
    centre: float
    score: float


@dataclass(frozen=True, slots=True)
class FaultNamed:
    """The replay of a non-finite step found where it began.

    `verdict`: reproduced, only under mixed precision, or vanished on replay. `direction`: forward, backward, input,
    weight or moment. `module` is a path in the network or a loss term's name, `operation` what it computed.
    """

    at_step: int
    verdict: str
    direction: str
    module: str
    operation: str
    term: str
    refinement: str
    sample_ids: tuple[str, ...]
    folder: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ProbationStarted:
    """Until `until_step` a fault takes the run back to `checkpoint` and phase `former_phase`, without `enabled`."""

    checkpoint: str
    former_phase: int
    until_step: int
    enabled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbationEnded:
    """The probation is over; `passed` is False where a fault ended it."""

    passed: bool


@dataclass(frozen=True, slots=True)
class AutopilotDecided:
    """What the autopilot did or waits for at a phase's gate, and why."""

    decision: str
    why: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run ended by itself or because it was asked to."""

    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RunFailed:
    """The engine raised; the traceback is in console.log."""

    error: str


SteeringEvent = (
    Paused
    | Resumed
    | StepsGranted
    | LrScaled
    | LrSet
    | PhasePromoted
    | PhaseDemoted
    | RefinementEnabled
    | RefinementDisabled
    | LossWeightSet
    | GradientClipSet
    | AccumulationSet
    | BatchSizeSet
    | OptimizerSet
    | CheckpointRequested
    | RollbackRequested
    | ValidationRequested
    | NoteAdded
    | GuardianSet
    | AutopilotSet
    | SamplesExcluded
    | StopRequested
)

LASTING_EVENTS: Final = (
    LrScaled,
    LrSet,
    PhasePromoted,
    PhaseDemoted,
    RefinementEnabled,
    RefinementDisabled,
    LossWeightSet,
    GradientClipSet,
    AccumulationSet,
    BatchSizeSet,
    OptimizerSet,
    GuardianSet,
    AutopilotSet,
    SamplesExcluded,
)
"""Steering whose effect lasts. Each carries absolute values: doing it twice is doing it once."""

Fact = (
    CommandRefused
    | RunStarted
    | WeightsInherited
    | ActivityChanged
    | EpochCompleted
    | ValidationCompleted
    | CheckpointSaved
    | CheckpointFailed
    | CheckpointDamaged
    | RolledBack
    | StepSkipped
    | SampleRejected
    | AlertRaised
    | SpikeDetected
    | FaultNamed
    | ProbationStarted
    | ProbationEnded
    | AutopilotDecided
    | RunFinished
    | RunFailed
)

Event = SteeringEvent | Fact


class Status(StrEnum):
    """How a command ended. Facts that answer no command carry `NOTED`."""

    APPLIED = "applied"
    CLAMPED = "clamped"
    REFUSED = "refused"
    NOTED = "noted"
