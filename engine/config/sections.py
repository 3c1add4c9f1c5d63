"""The sections of the generic configuration: frozen pydantic models with every default, unit and range.

A task adds its own keys to them.
"""

from __future__ import annotations

from signal import SIGTERM, SIGUSR1, SIGUSR2
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from engine.config.signal_reactions import Reactions
from engine.protocol.conditions.syntax import parse_condition
from engine.protocol.words.command_syntax import parse_command

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
LearningRate = Annotated[float, Field(gt=0, le=1)]


class Section(BaseModel, frozen=True):
    """One section of a configuration. Unknown keys are rejected."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class NetworkConfig(Section, frozen=True):
    """Settings of any network."""

    compile: bool = False
    """Compile the network with torch.compile: slow start, faster steps."""


class LossConfig(Section, frozen=True):
    """Weights of the loss terms, and the clamp on the terms that a task bounds."""

    weights: dict[str, NonNegative] = Field(default_factory=dict)
    """Weight of the {entry} term in the total loss."""
    clamp_max: Positive = 10.0
    """Upper bound on each refinement loss before weighting."""
    clamp_mode: Literal["hard", "rescale"] = "rescale"
    """Gradient of a loss above the bound: hard sets it to zero, rescale keeps its direction."""
    blend_in_steps: Annotated[int, Field(ge=0)] = 50
    """Steps until a refinement enabled during the run reaches its full weight."""


class OneCycleConfig(Section, frozen=True):
    """The one-cycle schedule of the learning rate (Smith and Topin 2018); names and defaults are torch's."""

    pct_start: Fraction = 0.3
    """Fraction of the epochs in which the learning rate rises to learning_rate."""
    div_factor: Annotated[float, Field(ge=1)] = 25.0
    """Quotient of learning_rate and the initial learning rate."""
    final_div_factor: Annotated[float, Field(ge=1)] = 1e4
    """Quotient of the initial learning rate and that at the end of the run."""


class TrainingConfig(Section, frozen=True):
    """Optimization: learning rates per step, warm-up in epochs, the clip on the global L2 norm."""

    learning_rate: LearningRate = 2e-4
    """Highest learning rate: that at the end of warm-up, or of the rise of one_cycle."""
    schedule: Literal["cosine", "one_cycle"] = "cosine"
    """Learning rate over the epochs: linear warm-up and cosine decay, or one_cycle, a rise and a fall by cosines."""
    one_cycle: OneCycleConfig = OneCycleConfig()
    min_learning_rate: NonNegative = 1e-8
    """Learning rate at the end of the cosine decay; learning_rate if that is lower. one_cycle ignores it."""
    warmup_epochs: NonNegative = 1.0
    """Epochs (fractions allowed) of linear warm-up from zero, per step, before the cosine. one_cycle ignores it."""
    epochs: Count = 20
    """Passes over the training split."""
    max_steps: Annotated[int, Field(ge=0)] = 0
    """Maximum number of optimizer steps, even if epochs are left; 0 for no limit."""
    batch_size: Count = 2
    """Regions of interest in each batch, over all ranks."""
    accumulation: Count = 1
    """Batches whose gradients are averaged into one optimizer step."""
    gradient_clip: Positive = 1.0
    """Upper bound on the global L2 norm of the gradient."""
    weight_decay: NonNegative = 1e-4
    """Decay of weight matrices; norms, biases and scalars have none."""
    optimizer: Literal["adam", "adamw"] = "adamw"
    """AdamW decouples the weight decay, Adam adds it to the gradient."""
    averaging: Literal["none", "ema", "swa"] = "none"
    """Average of weights, which validation and export use: ema over the last steps, swa over the end of the run."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Share of the average that an EMA keeps at each step; less in the first steps, (1 + n) / (10 + n) after n."""
    swa_start: Fraction = 0.75
    """Fraction of the epochs after which SWA begins; before it, the trained weights are validated."""
    swa_every_steps: Count = 20
    """Steps between the weights that SWA takes into its mean."""
    mixed_precision: bool = False
    """Run the network in amp_dtype; log-probabilities, losses and weights stay fp32."""
    amp_dtype: Literal["bf16", "fp16"] = "bf16"
    """Number format of mixed precision; fp16 uses loss scaling."""
    threads: Annotated[int, Field(ge=0, le=1024)] | Literal["auto"] = 0
    """Threads of the processor; 0 for torch's number. auto leaves cores that others use; chosen once, then recorded."""
    deterministic: bool = False
    """Choose GPU kernels that repeat each bit, so that resume and redrive are exact there; on the CPU all are."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of weights, sample order, augmentation and dropout. The synthetic dataset does not depend on it."""


class DataConfig(Section, frozen=True):
    """Source of the samples, and preparation of batches."""

    WHICH: ClassVar[tuple[str, ...]] = ("path",)
    """Keys that identify the data, not the way of reading them."""

    path: str = ""
    """Directory of the data (--data). The task defines the meaning of an empty path."""
    num_workers: Annotated[int, Field(ge=0, le=64)] = 0
    """Processes that prepare batches; 0 for a thread of the training process. Batches are equal."""
    timeout_seconds: Positive = 120.0
    """Seconds without a batch until a data worker counts as stuck. An alert names it, and another replaces it."""
    wait_seconds: NonNegative = 600.0
    """Seconds to wait for unreachable data, such as an unmounted disk, until the run ends with a checkpoint."""


class ValidationConfig(Section, frozen=True):
    """Frequency of validation, and its batch size."""

    every_epochs: Count = 1
    """Epochs between validations."""
    score: str = ""
    """Metric that decides on the best checkpoint, the gate and the header, such as miou_seed; empty: the task's own."""
    batch_size: Count = 16
    """Regions of interest in each validation batch."""
    num_previews: Annotated[int, Field(ge=0, le=64)] = 8
    """Regions of interest shown with their masks after each validation, on screen and in TensorBoard; 0 for none."""
    num_worst: Annotated[int, Field(ge=0, le=256)] = 8
    """Regions with the largest errors that the preview tab shows too, if the task measures the error of each."""
    num_remembered: Annotated[int, Field(ge=0, le=256)] = 32
    """Regions shown by every validation once they were among the worst, so that the tab shows how each was learned."""


class CheckpointConfig(Section, frozen=True):
    """Frequency of checkpoints, and number of checkpoints kept in addition to the best and the last good one."""

    every_steps: Annotated[int, Field(ge=0)] = 200
    """Steps between checkpoints; 0 to disable."""
    every_epochs: Annotated[int, Field(ge=0)] = 1
    """Epochs between checkpoints; 0 to disable."""
    keep_last: Count = 3
    """Newest checkpoints kept, in addition to the best and the last good one."""


class GateConfig(Section, frozen=True):
    """Conditions for a promotion to the next phase (gradient norms stay under 10)."""

    min_steps: Annotated[int, Field(ge=1)] = 100
    """Minimum steps in a phase."""
    window_steps: Annotated[int, Field(ge=4, le=10_000)] = 100
    """Number of newest steps that the gate checks. A checkpoint is good after as many clean steps."""
    max_grad_norm: Positive = 10.0
    """Upper bound on the 95th percentile of the gradient norms in the window, before clipping."""
    max_miou_drop: Fraction = 0.02
    """Maximum drop of the score below the phase's best: a fraction of its range, or of the best if it has none."""


class RecoveryConfig(Section, frozen=True):
    """Automatic reactions of the guardian to non-finite steps and failed promotions. Each is logged with its reason."""

    enabled: bool = True
    """Act on faults; false only warns. `guardian on` and `guardian off` switch it during the run."""
    bad_steps: Annotated[int, Field(ge=1, le=1000)] = 5
    """Number of non-finite steps among the newest window_steps that triggers a rollback to the last good checkpoint."""
    window_steps: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Number of newest steps in which non-finite ones are counted."""
    lr_factor: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Factor on the learning rate at each rollback."""
    max_rollbacks: Annotated[int, Field(ge=0, le=100)] = 3
    """Maximum rollbacks in one stretch. The next fault disables the refinement to blame, or stops the run."""
    stretch_steps: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    """Steps beyond the farthest fault after which a new stretch begins."""
    probation_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 150
    """Steps after a promotion in which a fault returns the run to the previous phase; 0 for no probation."""
    storm_spikes: Annotated[int, Field(ge=1, le=1000)] = 3
    """Number of spikes within storm_steps that make a storm."""
    storm_steps: Annotated[int, Field(ge=1, le=10_000)] = 100
    """Maximum length in steps of a storm of spikes."""
    on_spike_storm: Literal["alert", "lower_lr"] = "alert"
    """Reaction to a storm outside a probation: an alert, or also a learning rate lower by lr_factor."""
    memory_retry_steps: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    """Steps after a halving of the batch, out of memory, until the former size is tried once more; 0 for never."""

    @model_validator(mode="after")
    def _reachable(self) -> RecoveryConfig:
        for count, window in (("bad_steps", "window_steps"), ("storm_spikes", "storm_steps")):
            if getattr(self, count) > getattr(self, window):
                raise ValueError(f"guard.recovery.{count} must not be above guard.recovery.{window}")
        return self


class GuardConfig(Section, frozen=True):
    """Monitors of the run, and their limits."""

    max_skipped_in_a_row: Count = 50
    """Consecutive non-finite steps after which the run fails."""
    check_weights_every: Count = 10
    """Steps between finite checks of all weights and optimizer moments, before the update."""
    spike_score: Positive = 4.5
    """Robust deviations above the median of the newest 100 values that make a loss or gradient norm a spike."""
    plateau_steps: Annotated[int, Field(ge=0)] = 1000
    """Steps without a decrease of the loss until a plateau alert; 0 for no such alert."""
    dead_steps: Count = 50
    """Consecutive steps with zero gradient before an active module is reported as dead."""
    adaptive_clip: Literal["off", "zclip", "agc"] = "off"
    """Clip below gradient_clip too: zclip limits outliers of the norm, agc gradients large for their weights."""
    share_every_steps: Annotated[int, Field(ge=0)] = 10
    """Steps between measurements of each refinement's gradient share; 0 for none."""
    max_grad_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Maximum gradient share of one refinement in the shared network; 0 for no limit."""
    max_forensics: Count = 5
    """Number of evidence folders kept, each with the weights: the first faults and the newest."""
    recovery: RecoveryConfig = RecoveryConfig()


class LayersConfig(Section, frozen=True):
    """Measurement of every single layer, for the tab Layers."""

    every_steps: Annotated[int, Field(ge=0)] = 50
    """Steps between measurements of every layer's gradient, weights, update and zeros; 0 for none."""


class AutopilotConfig(Section, frozen=True):
    """Automatic promotion through the phases without a user (--autopilot): by their gates, then a final tuning."""

    enabled: bool = False
    """Promote automatically (--autopilot). `autopilot on` and `autopilot off` switch it during the run."""
    final_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Fraction of the run, at its end, that is trained at final_learning_rate; 0 for none."""
    final_learning_rate: LearningRate = 1e-6
    """Initial learning rate of the final tuning, from which it decays, unless it is lower already."""
    retry_steps: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Steps to wait after a failed probation, doubled after each further failure of the same phase."""
    max_failures: Annotated[int, Field(ge=1, le=100)] = 3
    """Failed probations after which a phase is not tried again."""


class LimitsConfig(Section, frozen=True):
    """Limits on interventions of users, guardian and autopilot."""

    lr_min: LearningRate = 1e-9
    """Minimum learning rate that a command may set."""
    lr_max: LearningRate = 1e-2
    """Maximum learning rate that a command may set."""
    max_lr_factor: Annotated[float, Field(gt=1)] = 10.0
    """Maximum factor by which one command may raise the learning rate."""

    @model_validator(mode="after")
    def _ordered(self) -> LimitsConfig:
        if self.lr_min >= self.lr_max:
            raise ValueError(f"limits.lr_min must be below limits.lr_max, but {self.lr_min:g} >= {self.lr_max:g}")
        return self


class TensorboardConfig(Section, frozen=True):
    """TensorBoard output, in addition to the journal."""

    enabled: bool = True
    """Write TensorBoard event files in addition to the journal."""
    every_steps: Count = 1
    """Steps between the points written to TensorBoard."""


class DistributedConfig(Section, frozen=True):
    """A training on several ranks, which `torchrun` starts."""

    timeout_seconds: Positive = 300.0
    """Seconds to wait for another rank, until the run ends with a checkpoint and names that rank."""
    slow_factor: Annotated[float, Field(gt=1)] = 1.5
    """Ratio of a rank's own time in a step to the median of the others' that makes it a slow rank."""


class PreemptionConfig(Section, frozen=True):
    """Reactions to a scheduler that takes the machine away: signals, and the exit code that asks to be queued again."""

    checkpoint_signal: Literal["SIGUSR1", "SIGUSR2", "none"] = "SIGUSR1"
    """Signal that writes a checkpoint; training goes on."""
    requeue_signal: Literal["SIGUSR1", "SIGUSR2", "SIGTERM", "none"] = "SIGUSR2"
    """Signal that writes a checkpoint and ends the run with requeue_exit_code."""
    requeue_exit_code: Annotated[int, Field(ge=3, le=125)] = 85
    """Exit code after requeue_signal or --time-limit, of an incomplete run: 85 for HTCondor, 99 for Grid Engine."""

    @model_validator(mode="after")
    def _distinct(self) -> PreemptionConfig:
        if self.checkpoint_signal == self.requeue_signal != "none":
            both = "preemption.checkpoint_signal and preemption.requeue_signal"
            raise ValueError(f"{both} must not both be {self.requeue_signal}")
        return self

    def reactions(self) -> Reactions:
        """Return the numbers of the signals."""
        numbers = {"none": 0, **{number.name: int(number) for number in (SIGUSR1, SIGUSR2, SIGTERM)}}
        return Reactions(numbers[self.checkpoint_signal], numbers[self.requeue_signal], self.requeue_exit_code)


class AlertRule(Section, frozen=True):
    """One alert rule: a condition on each step, and what happens when it holds."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][\w-]{0,39}$")]
    """Name of the rule, one word; its alerts are of the kind `rule NAME`."""
    when: str
    """Condition, as `wait` takes it: `loss>5 or nan>0`."""
    for_steps: Count = 1
    """Consecutive steps for which the condition must hold."""
    severity: Literal["info", "warning", "error"] = "warning"
    """Severity of the alert; one of severity info is listed without asking for attention."""
    command: str = ""
    """Command to send, such as `lower-lr 0.5`, within the limits of all commands; empty for none."""
    again_after_steps: Count = 200
    """Steps after which the rule fires again if its condition holds."""
    once: bool = False
    """Fire only once in a run."""

    @field_validator("when")
    @classmethod
    def _readable(cls, text: str) -> str:
        parse_condition(text)
        return text

    @field_validator("command")
    @classmethod
    def _known(cls, text: str) -> str:
        if text.strip():
            parse_command(text.split())
        return text.strip()
