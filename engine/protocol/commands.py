"""Commands that a user, a script, the guardian or the autopilot can send to a run.

`op` is the name of a command in a journal.
"""

from __future__ import annotations

from typing import ClassVar, Final, TypeAlias

from engine.protocol.record import record

KnobValue: TypeAlias = float | int | bool | str
"""The value of a knob: a number, a whole number, on or off, or a choice."""


@record
class Pause:
    """Stop at the next step boundary and keep everything in memory."""

    op: ClassVar[str] = "pause"


@record
class Resume:
    """Continue after a pause."""

    op: ClassVar[str] = "resume"


@record
class RunSteps:
    """Run exactly `num_steps` (1..1,000,000) more steps, then pause."""

    op: ClassVar[str] = "step"

    num_steps: int = 1


@record
class ScaleLr:
    """Multiply the learning rate by `factor` (> 0); the shape of the schedule is kept."""

    op: ClassVar[str] = "scale-lr"

    factor: float = 0.5


@record
class SetLr:
    """Set the learning rate to `value` now. Warm-up ends, and the decay continues from here."""

    op: ClassVar[str] = "set-lr"

    value: float


@record
class PromotePhase:
    """Enter the next phase. Refused while a check of the gate fails, unless `force`."""

    op: ClassVar[str] = "promote"

    force: bool = False


@record
class DemotePhase:
    """Return to the previous phase."""

    op: ClassVar[str] = "demote"


@record
class EnableRefinement:
    """Enable one refinement."""

    op: ClassVar[str] = "enable"

    name: str


@record
class DisableRefinement:
    """Disable one refinement."""

    op: ClassVar[str] = "disable"

    name: str


@record
class SetLossWeight:
    """Set the weight of the loss term `term` to `value` (>= 0)."""

    op: ClassVar[str] = "set-weight"

    term: str
    value: float


@record
class SetGradientClip:
    """Clip the global gradient norm at `value` (> 0)."""

    op: ClassVar[str] = "set-clip"

    value: float


@record
class SetAccumulation:
    """Accumulate gradients over `num_batches` batches per update."""

    op: ClassVar[str] = "set-accumulation"

    num_batches: int


@record
class SetBatchSize:
    """Draw `num_rois` samples per batch, from the next batch on."""

    op: ClassVar[str] = "set-batch-size"

    num_rois: int


@record
class SetOptimizer:
    """Switch between `adam` and `adamw`; the moments are kept."""

    op: ClassVar[str] = "set-optimizer"

    name: str


@record
class SaveCheckpoint:
    """Write a checkpoint now."""

    op: ClassVar[str] = "checkpoint"


@record
class Rollback:
    """Load a checkpoint of this run by file name or step; the last good one if `checkpoint` is an empty string."""

    op: ClassVar[str] = "rollback"

    checkpoint: str = ""


@record
class Validate:
    """Run a validation now."""

    op: ClassVar[str] = "validate"


@record
class TakeHistogram:
    """Take histograms of the module or parameter `layer` at the next step: weights, gradients and activations."""

    op: ClassVar[str] = "histogram"

    layer: str


@record
class AddNote:
    """Write a note to the journal."""

    op: ClassVar[str] = "note"

    text: str


@record
class SetGuardian:
    """Let the guardian act on faults, or only diagnose and warn."""

    op: ClassVar[str] = "set-guardian"

    enabled: bool


@record
class SetAutopilot:
    """Let the autopilot promote through the phases by their gates, or leave promotions to users."""

    op: ClassVar[str] = "set-autopilot"

    enabled: bool


@record
class ExcludeSamples:
    """Exclude these samples from training (`folder/image.jpg#3`): batches with one of them are skipped."""

    op: ClassVar[str] = "exclude"

    sample_ids: tuple[str, ...]


@record
class SetKnob:
    """Set the knob `name`, a setting that the training's own code declared, to `value`."""

    op: ClassVar[str] = "set-knob"

    name: str
    value: KnobValue


@record
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

ENGINE: Final = "engine"
SCRIPT: Final = "script"
SIGNAL: Final = "signal"
TIME_LIMIT: Final = "time limit"
REDRIVE: Final = "redrive"
"""The other actors of the program itself in the journal; `redrive` stops where the recorded run went no further."""

OWN_ACTORS: Final = (ENGINE, SCRIPT, SIGNAL, TIME_LIMIT, REDRIVE, GUARDIAN, AUTOPILOT, RULE)
"""Actors of the program itself: rollbacks, a resume and a reproduction tell by them what was done by whom."""


@record
class Request:
    """A command in transit: its row number in the journal (0 for none), its sender, and the sender's reason."""

    id: int
    actor: str
    command: Command
    reason: str = ""
