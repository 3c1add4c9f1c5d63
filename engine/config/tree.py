"""The generic configuration tree: frozen pydantic models that hold every default, its unit and its range.

A task adds its own sections to `RunConfig`, and its own keys to sections here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
LearningRate = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel, frozen=True):
    """One section of a configuration; unknown keys are refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class NetworkConfig(Section, frozen=True):
    """What is configured of any network."""

    compile: bool = False
    """Compile the network with torch.compile: slow to start, faster steps."""


class LossConfig(Section, frozen=True):
    """Weights of the loss terms and the clamp on the losses that a task bounds."""

    weights: dict[str, NonNegative] = Field(default_factory=dict)
    """Weight of the {entry} term in the total loss."""
    clamp_max: Positive = 10.0
    """Upper bound on the value of each refinement loss, before its weight."""
    clamp_mode: Literal["hard", "rescale"] = "rescale"
    """How a loss above the bound is clamped: hard has no gradient there, rescale keeps its direction."""
    blend_in_steps: Annotated[int, Field(ge=0)] = 50
    """Steps over which a refinement switched on during the run gains its full weight."""


class TrainingConfig(Section, frozen=True):
    """Optimisation: learning rates are per step, warm-up is in epochs, the clip bounds the global L2 norm."""

    learning_rate: LearningRate = 2e-4
    """Learning rate at the end of warm-up."""
    min_learning_rate: NonNegative = 1e-8
    """Learning rate at the end of the cosine decay (learning_rate itself, where that is less)."""
    warmup_epochs: NonNegative = 1.0
    """Epochs, fractions allowed, over which the learning rate rises linearly from zero, step by step."""
    epochs: Count = 20
    """Passes over the training split."""
    max_steps: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps after which the run ends even if epochs are left; 0 for no such bound."""
    batch_size: Count = 2
    """Regions of interest in each batch."""
    accumulation: Count = 1
    """Batches whose gradients are averaged into one optimizer step."""
    gradient_clip: Positive = 1.0
    """Upper bound on the global L2 norm of the gradient."""
    weight_decay: NonNegative = 1e-4
    """Decay on weight matrices; norms, biases and scalars have none."""
    optimizer: Literal["adam", "adamw"] = "adamw"
    """AdamW decouples the weight decay, Adam adds it to the gradient."""
    mixed_precision: bool = False
    """Run the network in amp_dtype; log-probabilities, losses and weights stay fp32."""
    amp_dtype: Literal["bf16", "fp16"] = "bf16"
    """Number format of mixed precision; fp16 comes with loss scaling."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of the weights, the order of samples, augmentation and dropout; the built-in people do not depend on it."""


class DataConfig(Section, frozen=True):
    """Where the samples come from, and how batches of them are prepared."""

    WHICH: ClassVar[tuple[str, ...]] = ("path",)
    """The keys that say which data are meant, rather than how they are read."""

    path: str = ""
    """Directory of the data (--data); what an empty one stands for is the task's affair."""
    num_workers: Annotated[int, Field(ge=0, le=64)] = 0
    """Processes that prepare batches; 0 for a thread of the training process. The batches are the same."""
    timeout_seconds: Positive = 120.0
    """Seconds without a batch after which a data worker is taken for stuck: an alert names it, another takes over."""
    wait_seconds: NonNegative = 600.0
    """Seconds to wait for data that cannot be reached (a disk unmounted) before the run ends with a checkpoint."""


class ValidationConfig(Section, frozen=True):
    """How often the validation split is measured, and with how many samples at a time."""

    every_epochs: Count = 1
    """Epochs between validations."""
    batch_size: Count = 16
    """Regions of interest in each validation batch."""
    num_previews: Annotated[int, Field(ge=0, le=64)] = 8
    """Regions of interest shown with their masks after each validation, on the screen and in TensorBoard."""


class CheckpointConfig(Section, frozen=True):
    """How often a checkpoint is written and how many are kept beside the best and the last good one."""

    every_steps: Annotated[int, Field(ge=0)] = 200
    """Steps between checkpoints; 0 for none by steps."""
    every_epochs: Annotated[int, Field(ge=0)] = 1
    """Epochs between checkpoints; 0 for none by epochs."""
    keep_last: Count = 3
    """Newest checkpoints kept, beside the best and the last good one."""


class GateConfig(Section, frozen=True):
    """What a promotion to the next phase asks for (gradient norms stay under 10)."""

    min_steps: Annotated[int, Field(ge=1)] = 100
    """Steps in a phase before it can be left."""
    window_steps: Annotated[int, Field(ge=4, le=10_000)] = 100
    """Newest steps that are judged; a checkpoint is good after as many clean ones."""
    max_grad_norm: Positive = 10.0
    """What 95 % of the gradient norms in the window, before clipping, must lie under."""
    max_miou_drop: Fraction = 0.02
    """Most that the score may be worse than the phase's best: a share of its range, or of the best if it has none."""


class RecoveryConfig(Section, frozen=True):
    """What the guardian does by itself where steps are not finite or a promotion fails; each time it says why."""

    enabled: bool = True
    """Act on faults; false only watches and warns. `guardian on` and `guardian off` switch it while the run goes on."""
    bad_steps: Annotated[int, Field(ge=1, le=1000)] = 5
    """Steps that were not finite, among the newest window_steps, at which it rolls back to the last good checkpoint."""
    window_steps: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Newest steps among which the bad ones are counted."""
    lr_factor: Annotated[float, Field(gt=0, le=1)] = 0.5
    """What each rollback multiplies the learning rate by."""
    max_rollbacks: Annotated[int, Field(ge=0, le=100)] = 3
    """Rollbacks in one stretch; at the next fault the refinement to blame goes off, or the run stops."""
    stretch_steps: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Steps that the run must get past its farthest fault for a new stretch to begin."""
    probation_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 150
    """Steps after a promotion in which a fault takes the run back to the phase before; 0 for no probation."""
    storm_spikes: Annotated[int, Field(ge=1, le=1000)] = 3
    """Spikes within storm_steps that make a storm."""
    storm_steps: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Steps within which the spikes of a storm lie."""
    on_spike_storm: Literal["alert", "lower_lr"] = "alert"
    """What a storm outside a probation leads to: an alert, or that and a learning rate lower by lr_factor."""

    @model_validator(mode="after")
    def _reachable(self) -> RecoveryConfig:
        for count, window in (("bad_steps", "window_steps"), ("storm_spikes", "storm_steps")):
            if getattr(self, count) > getattr(self, window):
                raise ValueError(f"guard.recovery.{count} must not lie above guard.recovery.{window}")
        return self


class GuardConfig(Section, frozen=True):
    """What watches over the run, and when it acts or gives up by itself."""

    max_skipped_in_a_row: Count = 50
    """Steps in a row that were not finite after which the run fails."""
    check_weights_every: Count = 10
    """Steps between checks, before the update, that all weights and optimizer moments are finite."""
    spike_score: Positive = 4.5
    """Robust deviations above the median of its newest 100 values at which a loss or gradient norm is a spike."""
    plateau_steps: Annotated[int, Field(ge=0)] = 1000
    """Steps over which the loss must move, or an alert says that it stands still; 0 for no such alert."""
    dead_steps: Count = 50
    """Steps in a row without any gradient after which an active module is called dead."""
    adaptive_clip: Literal["off", "zclip", "agc"] = "off"
    """Clip below gradient_clip too: zclip outliers of the norm, agc what is large beside its own weights."""
    share_every_steps: Annotated[int, Field(ge=0)] = 10
    """Steps between measurements of each refinement's share of the gradient; 0 for none."""
    max_grad_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Most of the gradient that one refinement may bring to the shared network; 0 for no such bound."""
    max_forensics: Count = 5
    """Folders of evidence kept of faults, each with the weights: the first faults and the newest."""
    recovery: RecoveryConfig = RecoveryConfig()


class AutopilotConfig(Section, frozen=True):
    """How the phases are walked where nobody watches (--autopilot): by their gates, then a final tuning."""

    enabled: bool = False
    """Walk the phases by itself (--autopilot). `autopilot on` and `autopilot off` switch it while the run goes on."""
    final_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of the run, at its end, that is trained at final_learning_rate; 0 for none."""
    final_learning_rate: LearningRate = 1e-6
    """Learning rate that the final tuning begins with, unless it is lower already, and decays from."""
    retry_steps: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Steps to wait after a failed probation; twice as many after each further failure of the same phase."""
    max_failures: Annotated[int, Field(ge=1, le=100)] = 3
    """Failed probations after which a phase is not tried again."""


class LimitsConfig(Section, frozen=True):
    """Bounds on interventions, whoever makes them."""

    lr_min: LearningRate = 1e-9
    """Least learning rate that a command may set."""
    lr_max: LearningRate = 1e-2
    """Greatest learning rate that a command may set."""
    max_lr_factor: Annotated[float, Field(gt=1)] = 10.0
    """Most by which one command may raise the learning rate."""

    @model_validator(mode="after")
    def _ordered(self) -> LimitsConfig:
        if self.lr_min >= self.lr_max:
            raise ValueError(f"limits.lr_min must lie below limits.lr_max, but {self.lr_min:g} >= {self.lr_max:g}")
        return self


class TensorboardConfig(Section, frozen=True):
    """What goes to TensorBoard beside the journal."""

    enabled: bool = True
    """Write TensorBoard event files beside the journal."""
    every_steps: Count = 1
    """Steps between the points written to TensorBoard."""


class RunConfig(Section, frozen=True):
    """One run's configuration, resolved: what `config.yaml` in its directory holds."""

    task: str = ""
    """What is trained: FILE.py:Class or package.module:Class; empty for the built-in person segmentation."""
    model: NetworkConfig = NetworkConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    data: DataConfig = DataConfig()
    validation: ValidationConfig = ValidationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    gate: GateConfig = GateConfig()
    guard: GuardConfig = GuardConfig()
    autopilot: AutopilotConfig = AutopilotConfig()
    limits: LimitsConfig = LimitsConfig()
    tensorboard: TensorboardConfig = TensorboardConfig()

    FORMER: ClassVar[Mapping[str, str]] = {}
    """What a run resolved before a key existed meant by leaving it out."""
    SWITCHES: ClassVar[str] = "components"
    """The section that switches components."""

    @classmethod
    def switches(cls, tree: Mapping[str, Any]) -> dict[str, bool]:
        """Return which components a resolved configuration, as plain values, has on or off at the start."""
        return dict(tree.get("components", {}))

    def active_components(self) -> frozenset[str]:
        """Return the components that are on when the run starts."""
        return frozenset(name for name, on in self.switches(self.model_dump()).items() if on)
