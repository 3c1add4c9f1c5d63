"""The configuration tree: frozen pydantic models that hold every default, its unit and its range."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from engine.errors import did_you_mean
from engine.tasks.person.spec import EXCLUSIVE_REFINEMENTS, LOSS_TERMS

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
ClassWeights = Annotated[tuple[Positive, ...], Field(min_length=3, max_length=3, strict=False)]
"""How much a pixel of background, of the target and of another person counts."""
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Widths = Annotated[tuple[Count, ...], Field(min_length=2, max_length=8, strict=False)]


def _whole(value: object) -> object:
    """Refuse `true` and `1.0`, which Python takes for equal to 1. Raises ValueError."""
    if type(value) is not int:
        raise ValueError("must be a whole number")
    return value


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class RefinementsConfig(_Section):
    """Which refinements are on when the run starts (SEED.md, phases 1 to 4)."""

    boundary_refinement: bool = False
    """Correct the classes along predicted edges by a small learned residual (phase 1)."""
    boundary_aware_loss: bool = False
    """Weigh the cross-entropy higher in a band along class borders (phase 1)."""
    active_contour_loss: bool = False
    """Fit the target's region and penalise outlines away from the true one (phase 2)."""
    contour_detection: bool = False
    """Predict the target's outline in a head of its own (phase 3)."""
    distance_transform: bool = False
    """Predict the signed distance to the target's outline in a head of its own (phase 4)."""
    progressive_upsampling: bool = False
    """Correct the classes by a residual decoded in upsampling stages; in no phase, excludes subpixel_conv."""
    subpixel_conv: bool = False
    """Correct the classes by a residual decoded by pixel shuffling; in no phase, excludes progressive_upsampling."""

    @model_validator(mode="after")
    def _exclusive(self) -> RefinementsConfig:
        if all(getattr(self, name) for name in EXCLUSIVE_REFINEMENTS):
            raise ValueError("progressive_upsampling and subpixel_conv exclude each other: switch one off")
        return self

    def active(self) -> frozenset[str]:
        """The names of the refinements that are on."""
        return frozenset(name for name, on in self.model_dump().items() if on)


class ModelConfig(_Section):
    """The hierarchical UNet V2 with attention: sizes in pixels, widths in channels."""

    roi_size: Annotated[int, Field(ge=16, le=512, multiple_of=16)] = 64
    """Side in pixels of the square region of interest that the network sees."""
    mask_size: Annotated[int, Field(ge=16, le=512, multiple_of=16)] = 64
    """Side in pixels of the predicted mask."""
    extractor_widths: Widths = (64, 128, 192, 256)
    """Channels of the RGB extractor, one number for each stage; the last is the width of the trunk."""
    unet_width: Annotated[int, Field(ge=4)] = 96
    """Channels of the foreground UNet at its finest level; each level below has twice as many."""
    unet_depth: Annotated[int, Field(ge=1, le=4)] = 3
    """Resolution levels of the foreground UNet."""
    auxiliary_width: Count = 128
    """Channels inside the auxiliary foreground head."""
    attention: bool = True
    """Spatial and channel attention in the branch that tells the target from other people."""
    trunk_stride: Annotated[Literal[1, 2], BeforeValidator(_whole)] = 2
    """Pixels of the region for each position of the trunk: 2 computes it at half resolution."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Probability that a channel of features is dropped in training; half of it in the foreground gate."""
    compile: bool = False
    """Compile the network with torch.compile: slow to start, faster steps."""
    refinements: RefinementsConfig = RefinementsConfig()


def _default_weights() -> dict[str, float]:
    return {
        "cross_entropy": 1.0,
        "dice": 0.5,
        "auxiliary": 0.3,
        "boundary_aware": 0.1,
        "active_contour": 0.1,
        "contour": 0.1,
        "distance": 0.1,
    }


class LossConfig(_Section):
    """Weights of the loss terms and the clamp on refinement losses (SEED.md: 10.0)."""

    weights: dict[str, NonNegative] = Field(default_factory=_default_weights)
    """Weight of the {entry} term in the total loss."""
    class_weights: ClassWeights = (0.54, 0.75, 1.71)
    """Weights of background, target and other in the cross-entropy: from their shares of COCO's person pixels."""
    clamp_max: Positive = 10.0
    """Upper bound on the value of each refinement loss, before its weight (SEED.md: 10.0)."""
    clamp_mode: Literal["hard", "rescale"] = "rescale"
    """How a loss above the bound is clamped: hard has no gradient there, rescale keeps its direction."""
    blend_in_steps: Annotated[int, Field(ge=0)] = 50
    """Steps over which a refinement switched on during the run gains its full weight."""

    @field_validator("weights", mode="before")
    @classmethod
    def _complete(cls, weights: object) -> object:
        """Weights that are not given keep their defaults. Raises ValueError at a term that does not exist."""
        if not isinstance(weights, dict):
            return weights
        given = cast("dict[str, object]", weights)
        if unknown := sorted(set(given) - set(LOSS_TERMS)):
            raise ValueError(f"there is no loss term {unknown[0]!r}; {did_you_mean(unknown[0], LOSS_TERMS)}")
        return {**_default_weights(), **given}


class TrainingConfig(_Section):
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


class SyntheticConfig(_Section):
    """The built-in people: how many scenes are drawn and how large they are (pixels)."""

    num_train_scenes: Count = 400
    """Scenes in the training split."""
    num_val_scenes: Count = 60
    """Scenes in the validation split."""
    image_size: Annotated[int, Field(ge=64, le=1024)] = 192
    """Side of a scene in pixels."""
    max_people: Annotated[int, Field(ge=1, le=12)] = 5
    """Most people in one scene."""


class DataConfig(_Section):
    """Where the people come from and how a region of interest is cut out of its image."""

    path: str = ""
    """Directory of images and annotations (--data); empty for the built-in people."""
    augment: Fraction = 0.5
    """Probability that a training region is seen in another light; it is mirrored with the same, at most 0.5."""
    roi_jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Most that each edge of a training box moves in or out, as a share of its side."""
    roi_padding: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Context added on every side of a box, as a share of its side."""
    keep_aspect: bool = False
    """Widen the box to a square rather than squash it into one."""
    min_person_pixels: Count = 16
    """Least width and height in image pixels of a person that is used as a sample."""
    hold_out: Literal["by_hash", "in_order"] = "by_hash"
    """Which fifth of the images is held out where the data have one split: by hashes of names, or in their order."""
    use_crowds: bool = False
    """Take COCO annotations with iscrowd=1 as people: CVAT exports masks of single people so."""
    num_workers: Annotated[int, Field(ge=0, le=64)] = 0
    """Processes that prepare batches; 0 for a thread of the training process. The batches are the same."""
    timeout_seconds: Positive = 120.0
    """Seconds without a batch after which a data worker is taken for stuck: an alert names it, another takes over."""
    wait_seconds: NonNegative = 600.0
    """Seconds to wait for data that cannot be reached (a disk unmounted) before the run ends with a checkpoint."""
    synthetic: SyntheticConfig = SyntheticConfig()


class ValidationConfig(_Section):
    """How often the validation split is measured, and with how many regions of interest at a time."""

    every_epochs: Count = 1
    """Epochs between validations."""
    batch_size: Count = 16
    """Regions of interest in each validation batch."""
    num_previews: Annotated[int, Field(ge=0, le=64)] = 8
    """Regions of interest shown with their masks after each validation, on the screen and in TensorBoard."""
    boundary_tolerance: Annotated[int, Field(ge=1, le=16)] = 2
    """Distance in mask pixels within which two outlines count as equal in boundary F."""


class CheckpointConfig(_Section):
    """How often a checkpoint is written and how many are kept beside the best and the last good one."""

    every_steps: Annotated[int, Field(ge=0)] = 200
    """Steps between checkpoints; 0 for none by steps."""
    every_epochs: Annotated[int, Field(ge=0)] = 1
    """Epochs between checkpoints; 0 for none by epochs."""
    keep_last: Count = 3
    """Newest checkpoints kept, beside the best and the last good one."""


class GateConfig(_Section):
    """What a promotion to the next phase asks for (SEED.md: gradient norms stay under 10)."""

    min_steps: Annotated[int, Field(ge=1)] = 100
    """Steps in a phase before it can be left."""
    window_steps: Annotated[int, Field(ge=4, le=10_000)] = 100
    """Newest steps that are judged; a checkpoint is good after as many clean ones."""
    max_grad_norm: Positive = 10.0
    """What 95 % of the gradient norms in the window, before clipping, must lie under (SEED.md: 10)."""
    max_miou_drop: Fraction = 0.02
    """Most that the validation mIoU may lie below the phase's best."""


class RecoveryConfig(_Section):
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


class GuardConfig(_Section):
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


class AutopilotConfig(_Section):
    """How the phases are walked where nobody watches (--autopilot): by their gates, then a final tuning (SEED.md)."""

    enabled: bool = False
    """Walk the phases by itself (--autopilot). `autopilot on` and `autopilot off` switch it while the run goes on."""
    final_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of the run, at its end, that is trained at final_learning_rate; 0 for none."""
    final_learning_rate: LearningRate = 1e-6
    """Learning rate that the final tuning begins with, unless it is lower already, and decays from (SEED.md: 1e-6)."""
    retry_steps: Annotated[int, Field(ge=1, le=1_000_000)] = 200
    """Steps to wait after a failed probation; twice as many after each further failure of the same phase."""
    max_failures: Annotated[int, Field(ge=1, le=100)] = 3
    """Failed probations after which a phase is not tried again."""


class LimitsConfig(_Section):
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


class TensorboardConfig(_Section):
    """What goes to TensorBoard beside the journal."""

    enabled: bool = True
    """Write TensorBoard event files beside the journal."""
    every_steps: Count = 1
    """Steps between the points written to TensorBoard."""


class Config(_Section):
    """One run's configuration, resolved: what `config.yaml` in its directory holds."""

    model: ModelConfig = ModelConfig()
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
