"""Commands that a user, a script, the guardian or the autopilot can send to a run.

`op` is the name of a command in a journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

KnobValue: TypeAlias = float | int | bool | str
"""The value of a knob: a number, a whole number, on or off, or a choice."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop at the next step boundary and keep everything in memory."""

    op: ClassVar[str] = "pause"


@dataclass(frozen=True, slots=True)
class Resume:
    """Continue after a pause."""

    op: ClassVar[str] = "resume"


@dataclass(frozen=True, slots=True)
class RunSteps:
    """Run exactly `num_steps` (1..1,000,000) more steps, then pause."""

    op: ClassVar[str] = "step"

    num_steps: int = 1


@dataclass(frozen=True, slots=True)
class ScaleLr:
    """Multiply the learning rate by `factor` (> 0); the shape of the schedule is kept."""

    op: ClassVar[str] = "scale-lr"

    factor: float = 0.5


@dataclass(frozen=True, slots=True)
class SetLr:
    """Set the learning rate to `value` now. Warm-up ends, and the decay continues from here."""

    op: ClassVar[str] = "set-lr"

    value: float


@dataclass(frozen=True, slots=True)
class PromotePhase:
    """Enter the next phase. Refused while a check of the gate fails, unless `force`."""

    op: ClassVar[str] = "promote"

    force: bool = False


@dataclass(frozen=True, slots=True)
class DemotePhase:
    """Return to the previous phase."""

    op: ClassVar[str] = "demote"


@dataclass(frozen=True, slots=True)
class EnableRefinement:
    """Enable one refinement."""

    op: ClassVar[str] = "enable"

    name: str


@dataclass(frozen=True, slots=True)
class DisableRefinement:
    """Disable one refinement."""

    op: ClassVar[str] = "disable"

    name: str


@dataclass(frozen=True, slots=True)
class SetLossWeight:
    """Set the weight of the loss term `term` to `value` (>= 0)."""

    op: ClassVar[str] = "set-weight"

    term: str
    value: float


@dataclass(frozen=True, slots=True)
class SetGradientClip:
    """Clip the global gradient norm at `value` (> 0)."""

    op: ClassVar[str] = "set-clip"

    value: float


@dataclass(frozen=True, slots=True)
class SetAccumulation:
    """Accumulate gradients over `num_batches` batches per update."""

    op: ClassVar[str] = "set-accumulation"

    num_batches: int


@dataclass(frozen=True, slots=True)
class SetBatchSize:
    """Draw `num_rois` samples per batch, from the next batch on."""

    op: ClassVar[str] = "set-batch-size"

    num_rois: int


@dataclass(frozen=True, slots=True)
class SetOptimizer:
    """Switch between `adam` and `adamw`; the moments are kept."""

    op: ClassVar[str] = "set-optimizer"

    name: str


@dataclass(frozen=True, slots=True)
class SaveCheckpoint:
    """Write a checkpoint now."""

    op: ClassVar[str] = "checkpoint"


@dataclass(frozen=True, slots=True)
class Rollback:
    """Load a checkpoint of this run by file name or step; the last good one if `checkpoint` is an empty string."""

    op: ClassVar[str] = "rollback"

    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class Validate:
    """Run a validation now."""

    op: ClassVar[str] = "validate"


@dataclass(frozen=True, slots=True)
class TakeHistogram:
    """Take histograms of the module or parameter `layer` at the next step: weights, gradients and activations."""

    op: ClassVar[str] = "histogram"

    layer: str


@dataclass(frozen=True, slots=True)
class AddNote:
    """Write a note to the journal."""

    op: ClassVar[str] = "note"

    text: str


@dataclass(frozen=True, slots=True)
class SetGuardian:
    """Let the guardian act on faults, or only diagnose and warn."""

    op: ClassVar[str] = "set-guardian"

    enabled: bool


@dataclass(frozen=True, slots=True)
class SetAutopilot:
    """Let the autopilot promote through the phases by their gates, or leave promotions to users."""

    op: ClassVar[str] = "set-autopilot"

    enabled: bool


@dataclass(frozen=True, slots=True)
class ExcludeSamples:
    """Exclude these samples from training (`folder/image.jpg#3`): batches with one of them are skipped."""

    op: ClassVar[str] = "exclude"

    sample_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetKnob:
    """Set the knob `name`, a setting that the training's own code declared, to `value`."""

    op: ClassVar[str] = "set-knob"

    name: str
    value: KnobValue


@dataclass(frozen=True, slots=True)
class Stop:
    """Finish the step, write a checkpoint, end the run."""

    op: ClassVar[str] = "stop"

    reason: str = "asked to stop"


Command = (
    Pause
    | Resume
    | RunSteps
    | ScaleLr
    | SetLr
    | PromotePhase
    | DemotePhase
    | EnableRefinement
    | DisableRefinement
    | SetLossWeight
    | SetGradientClip
    | SetAccumulation
    | SetBatchSize
    | SetOptimizer
    | SaveCheckpoint
    | Rollback
    | Validate
    | TakeHistogram
    | AddNote
    | SetGuardian
    | SetAutopilot
    | ExcludeSamples
    | SetKnob
    | Stop
)


GUARDIAN: Final = "guardian"
AUTOPILOT: Final = "autopilot"
RULE: Final = "rule"
"""The names of the policies and of alert rules as senders of requests, in the journal too."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command in transit: its row number in the journal (0 for none), its sender, and the sender's reason."""

    id: int
    actor: str
    command: Command
    reason: str = ""
