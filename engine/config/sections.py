"""The sections of the generic configuration: frozen pydantic models with every default, unit and range.

A task adds its own keys to them.
"""

from __future__ import annotations

from signal import SIGTERM, SIGUSR1, SIGUSR2
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.config.signal_reactions import Reactions

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
    """Number format of mixed precision; fp16 uses loss scaling, and is slow on the CPU."""
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


class LayersConfig(Section, frozen=True):
    """Measurement of every single layer, for the tab Layers."""

    every_steps: Annotated[int, Field(ge=0)] = 50
    """Steps between measurements of every layer's gradient, weights, update and zeros; 0 for none."""


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
