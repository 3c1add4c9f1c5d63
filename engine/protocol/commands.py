"""What a person, a script, the guardian or the autopilot may ask of a run: imperatives, all peers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop at the next step boundary and keep everything in memory."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Go on after a pause."""


@dataclass(frozen=True, slots=True)
class RunSteps:
    """Run exactly `num_steps` (1..1,000,000) more steps, then pause."""

    num_steps: int = 1


@dataclass(frozen=True, slots=True)
class ScaleLr:
    """Multiply the learning rate by `factor` (> 0); the schedule's shape is kept."""

    factor: float = 0.5


@dataclass(frozen=True, slots=True)
class SetLr:
    """Make the learning rate `value` now; warm-up is over, the decay goes on from here."""

    value: float


@dataclass(frozen=True, slots=True)
class PromotePhase:
    """Enter the next phase; refused while a check of the gate is red, unless `force`."""

    force: bool = False


@dataclass(frozen=True, slots=True)
class DemotePhase:
    """Go back to the phase below."""


@dataclass(frozen=True, slots=True)
class EnableRefinement:
    """Switch one refinement on."""

    name: str


@dataclass(frozen=True, slots=True)
class DisableRefinement:
    """Switch one refinement off."""

    name: str


@dataclass(frozen=True, slots=True)
class SetLossWeight:
    """Give the loss term `term` the weight `value` (>= 0)."""

    term: str
    value: float


@dataclass(frozen=True, slots=True)
class SetGradientClip:
    """Clip the global gradient norm at `value` (> 0)."""

    value: float


@dataclass(frozen=True, slots=True)
class SetAccumulation:
    """Accumulate gradients over `num_batches` batches per update."""

    num_batches: int


@dataclass(frozen=True, slots=True)
class SetBatchSize:
    """Draw `num_rois` regions of interest per batch, from the next batch on."""

    num_rois: int


@dataclass(frozen=True, slots=True)
class SetOptimizer:
    """Switch between `adam` and `adamw`; the moments are kept."""

    name: str


@dataclass(frozen=True, slots=True)
class SaveCheckpoint:
    """Write a checkpoint now."""


@dataclass(frozen=True, slots=True)
class Rollback:
    """Load a checkpoint of this run by file name or step; the last good one when `checkpoint` is empty."""

    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class Validate:
    """Run a validation now."""


@dataclass(frozen=True, slots=True)
class AddNote:
    """Write a note into the journal."""

    text: str


@dataclass(frozen=True, slots=True)
class SetGuardian:
    """Let the guardian act on faults by itself, or only watch, name and warn."""

    enabled: bool


@dataclass(frozen=True, slots=True)
class SetAutopilot:
    """Let the autopilot walk the phases by their gates, or leave promotions to people."""

    enabled: bool


@dataclass(frozen=True, slots=True)
class ExcludeSamples:
    """Never train on these samples again (`folder/image.jpg#3`): a batch with one of them is passed over."""

    sample_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """Finish the step, write a checkpoint, end the run."""

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
    | AddNote
    | SetGuardian
    | SetAutopilot
    | ExcludeSamples
    | Stop
)


@dataclass(frozen=True, slots=True)
class Request:
    """A command on its way: its row number in the journal (0 for none), who asked for what, and why."""

    id: int
    actor: str
    command: Command
    reason: str = ""
