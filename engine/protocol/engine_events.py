"""Events that the engine emits by itself; steering events are in `events`, which exports all of these."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from engine.protocol.commands import KnobValue
from engine.protocol.record import record
from engine.protocol.task_spec import TaskSpec


class Activity(StrEnum):
    """The engine's activity, as `status` reports it."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    VALIDATING = "validating"
    STOPPING = "stopping"
    FINISHED = "finished"
    FAILED = "failed"


@record
class Departure:
    """A configuration key whose `value` is far from the `usual` one of its named configuration."""

    key: str
    value: str
    usual: str


@record
class CommandRefused:
    """A command was refused and changed nothing; the reason is stored with it."""

    op: str
    args: Mapping[str, object]


@record
class RunStarted:
    """Training begins at this step.

    `learning_rate` is the configured one; 0 if the journal is older than this field. `unusual` are the unusual
    settings, the most serious first.
    """

    device: str
    num_parameters: int
    num_train_samples: int
    num_val_samples: int
    total_steps: int
    resumed_from: str = ""
    learning_rate: float = 0.0
    unusual: tuple[Departure, ...] = ()


@record
class ConfigChanged:
    """A resumed run has another value of `key` than before; both values are JSON text."""

    key: str
    before: str
    after: str


@record
class TaskDescribed:
    """The task's terms, metrics or abilities became known or changed; `spec` replaces the former one."""

    spec: TaskSpec


@record
class KnobDeclared:
    """The training's own code declared the knob `name` with its value and its range.

    `name` is one word. `low` and `high` bound a number, `None` is no bound; `choices` are those of a text. The value is
    the one in effect: after a resume the one that was set, as long as it fits (`Knob.accepts`).
    """

    name: str
    value: KnobValue
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()


@record
class WeightsInherited:
    """Weights were loaded from another run's checkpoint; `missing` and `unexpected` did not fit.

    `averaged` is whether they are the checkpoint's averaged weights.
    """

    checkpoint: str
    num_loaded: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    averaged: bool = False


@record
class ActivityChanged:
    """The engine's activity changed."""

    before: Activity
    after: Activity


@record
class EpochCompleted:
    """Every training sample of `epoch` (0-based) was used once."""

    epoch: int
    seconds: float
    mean_loss: float


@record
class ValidationCompleted:
    """The validation split was measured: the loss, and the task's metrics by name, NaN for one without a value.

    `loss` is `None` if it was not measured: a training that validates by itself may report metrics only. `averaged` is
    how the validated weights are averaged, `ema` or `swa`; an empty string for the trained ones.
    """

    loss: float | None
    metrics: Mapping[str, float]
    seconds: float
    averaged: str = ""


@record
class CheckpointSaved:
    """A checkpoint is on disk, synced and checksummed.

    `kind`: start, step, epoch, best, asked, signal, promotion, rollback, final.
    """

    path: str
    kind: str
    loss: float
    score: float | None
    good: bool


@record
class CheckpointFailed:
    """A checkpoint could not be written; training continues with the earlier ones."""

    path: str
    error: str


@record
class CheckpointDamaged:
    """A checkpoint did not match its checksum or was unreadable; the previous one is used."""

    path: str
    error: str


@record
class RolledBack:
    """Weights, moments, random state and data position are those of `checkpoint` again; interventions are kept."""

    checkpoint: str
    before: int
    after: int


@record
class StepSkipped:
    """A non-finite step: nothing was updated. It names the non-finite terms and modules, and the samples."""

    terms: tuple[str, ...]
    modules: tuple[str, ...]
    sample_ids: tuple[str, ...]
    reason: str


@record
class SampleRejected:
    """A training or validation file could not be used; another sample replaced it."""

    file: str
    error: str


@record
class HistogramTaken:
    """Histograms of `layer` were taken at step `at_step`, and written to `file` in the run's directory."""

    layer: str
    at_step: int
    file: str


@record
class AlertRaised:
    """A problem for the user: kind, evidence, and a remedy or an empty string.

    `term`, `module` and `operation` give the location as far as known; `at_step` is the step, 0 for none. `severity` is
    that of an alert rule: info, warning or error; an empty string for the engine's own alerts.
    """

    kind: str
    message: str
    remedy: str = ""
    term: str = ""
    module: str = ""
    operation: str = ""
    at_step: int = 0
    severity: str = ""


@record
class SpikeDetected:
    """`metric` jumped at step `at_step`: `score` robust deviations above the `centre` of earlier values."""

    metric: str
    at_step: int
    value: float
    centre: float
    score: float


@record
class FaultNamed:
    """The replay of a non-finite step found its origin.

    `verdict`: reproduced, only under mixed precision, or vanished on replay. `direction`: forward, backward, input,
    weight or moment. `module` is a path in the network or a loss term's name; `operation` is its operation. Of several
    processes `rank` is the one in whose batches the fault is.
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
    rank: int | None = None


@record
class ProbationStarted:
    """Until `until_step` a fault returns the run to `checkpoint` and phase `former_phase`, without `enabled`."""

    checkpoint: str
    former_phase: int
    until_step: int
    enabled: tuple[str, ...] = ()


@record
class ProbationEnded:
    """The probation is over; `passed` is False if a fault ended it."""

    passed: bool


@record
class AutopilotDecided:
    """The autopilot's action or wait at a phase's gate, and the reason."""

    decision: str
    why: str


@record
class RunFinished:
    """The run was completed or stopped on request."""

    reason: str
    seconds: float


@record
class RunFailed:
    """The engine raised an exception; console.log has the traceback."""

    error: str


Fact = (
    CommandRefused
    | RunStarted
    | ConfigChanged
    | TaskDescribed
    | KnobDeclared
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
    | HistogramTaken
    | AlertRaised
    | SpikeDetected
    | FaultNamed
    | ProbationStarted
    | ProbationEnded
    | AutopilotDecided
    | RunFinished
    | RunFailed
)
