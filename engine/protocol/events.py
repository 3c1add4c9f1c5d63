"""Events, in past tense. Steering events change the state; `engine_events` come from the engine itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from engine.protocol.commands import KnobValue
from engine.protocol.engine_events import *  # noqa: F403 - so that all events have one namespace
from engine.protocol.engine_events import Activity, Fact

# --- steering events, one per command ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class Paused:
    """Training is paused at a step boundary."""

    before: str
    after: str = Activity.PAUSED.value


@dataclass(frozen=True, slots=True)
class Resumed:
    """Training continues."""

    before: str
    after: str = Activity.RUNNING.value


@dataclass(frozen=True, slots=True)
class StepsGranted:
    """Training runs `after` more steps, then pauses."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class LrScaled:
    """The learning rate changed from `before` to `after`; `scale` is the new total factor on the schedule."""

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
    """Phase `after` began with the `enabled` refinements. `forced` if a check of the gate failed."""

    before: int
    after: int
    enabled: tuple[str, ...]
    forced: bool = False


@dataclass(frozen=True, slots=True)
class PhaseDemoted:
    """The run returned to phase `after`; the `disabled` refinements are off."""

    before: int
    after: int
    disabled: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefinementEnabled:
    """The component `name` is on."""

    name: str
    before: bool = False
    after: bool = True


@dataclass(frozen=True, slots=True)
class RefinementDisabled:
    """The component `name` is off."""

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
    """The number of samples per batch changed."""

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
class HistogramRequested:
    """Histograms of `layer` will be taken at the next step."""

    layer: str


@dataclass(frozen=True, slots=True)
class NoteAdded:
    """A note was written."""

    text: str


@dataclass(frozen=True, slots=True)
class GuardianSet:
    """The guardian was switched on or off."""

    before: bool
    after: bool


@dataclass(frozen=True, slots=True)
class AutopilotSet:
    """The autopilot was switched on or off."""

    before: bool
    after: bool


@dataclass(frozen=True, slots=True)
class SamplesExcluded:
    """Training skips the batches with one of these samples; `before` and `after` count all excluded samples."""

    sample_ids: tuple[str, ...]
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class KnobSet:
    """The knob `name` has a new value."""

    name: str
    before: KnobValue
    after: KnobValue


@dataclass(frozen=True, slots=True)
class StopRequested:
    """The run ends after this step, with a checkpoint."""

    reason: str
    before: str
    after: str = Activity.STOPPING.value


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
    | HistogramRequested
    | NoteAdded
    | GuardianSet
    | AutopilotSet
    | SamplesExcluded
    | KnobSet
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
    KnobSet,
)
"""Steering events with a lasting effect. Their values are absolute: applying one twice has no further effect."""

Event = SteeringEvent | Fact


class Status(StrEnum):
    """Outcome of a command. Events that do not answer a command have `NOTED`."""

    APPLIED = "applied"
    CLAMPED = "clamped"
    REFUSED = "refused"
    NOTED = "noted"
