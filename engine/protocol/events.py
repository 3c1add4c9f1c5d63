"""Events, in past tense. Steering events change the state; `engine_events` come from the engine itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from engine.protocol.commands import KnobValue
from engine.protocol.engine_events import *  # noqa: F403 - so that all events have one namespace
from engine.protocol.engine_events import Activity, Fact
from engine.protocol.record import record

# --- steering events, one per command ---------------------------------------------------


@record
class Paused:
    """Training is paused at a step boundary."""

    before: str
    after: str = Activity.PAUSED.value


@record
class Resumed:
    """Training continues."""

    before: str
    after: str = Activity.RUNNING.value


@record
class StepsGranted:
    """Training runs `after` more steps, then pauses."""

    before: int
    after: int


@record
class LrScaled:
    """The learning rate changed from `before` to `after`; `scale` is the new total factor on the schedule."""

    before: float
    after: float
    scale: float


@record
class LrSet:
    """The learning rate was pinned to `after` at progress `at_epoch` (epochs, fractional)."""

    before: float
    after: float
    at_epoch: float


@record
class PhasePromoted:
    """Phase `after` began with the `enabled` refinements. `forced` if a check of the gate failed."""

    before: int
    after: int
    enabled: tuple[str, ...]
    forced: bool = False


@record
class PhaseDemoted:
    """The run returned to phase `after`; the `disabled` refinements are off."""

    before: int
    after: int
    disabled: tuple[str, ...]


@record
class RefinementEnabled:
    """The component `name` is on."""

    name: str
    before: bool = False
    after: bool = True


@record
class RefinementDisabled:
    """The component `name` is off."""

    name: str
    before: bool = True
    after: bool = False


@record
class LossWeightSet:
    """The loss term `term` has a new weight."""

    term: str
    before: float
    after: float


@record
class GradientClipSet:
    """The gradient-norm bound changed."""

    before: float
    after: float


@record
class AccumulationSet:
    """The number of batches per update changed."""

    before: int
    after: int


@record
class BatchSizeSet:
    """The number of samples per batch changed."""

    before: int
    after: int


@record
class OptimizerSet:
    """The optimizer changed; its moments were kept."""

    before: str
    after: str


@record
class CheckpointRequested:
    """A checkpoint is due at this boundary; `CheckpointSaved` answers the command."""


@record
class RollbackRequested:
    """A rollback to `checkpoint` is due at this boundary; `RolledBack` answers the command."""

    checkpoint: str


@record
class ValidationRequested:
    """A validation is due at this boundary; `ValidationCompleted` answers the command."""


@record
class HistogramRequested:
    """Histograms of `layer` will be taken at the next step."""

    layer: str


@record
class NoteAdded:
    """A note was written."""

    text: str


@record
class GuardianSet:
    """The guardian was switched on or off."""

    before: bool
    after: bool


@record
class AutopilotSet:
    """The autopilot was switched on or off."""

    before: bool
    after: bool


@record
class SamplesExcluded:
    """Training skips the batches with one of these samples; `before` and `after` count all excluded samples."""

    sample_ids: tuple[str, ...]
    before: int
    after: int


@record
class KnobSet:
    """The knob `name` has a new value."""

    name: str
    before: KnobValue
    after: KnobValue


@record
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
