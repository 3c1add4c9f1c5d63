"""The configuration tree: frozen pydantic models that hold every default, its unit and its range."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.protocol.names import EXCLUSIVE_REFINEMENTS, LOSS_TERMS

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RefinementsConfig(_Section):
    """Which refinements are on when the run starts (SEED.md, phases 1 to 4)."""

    boundary_refinement: bool = False
    boundary_aware_loss: bool = False
    active_contour_loss: bool = False
    contour_detection: bool = False
    distance_transform: bool = False
    progressive_upsampling: bool = False
    subpixel_conv: bool = False

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
    mask_size: Annotated[int, Field(ge=16, le=512, multiple_of=16)] = 64
    extractor_widths: Annotated[tuple[Count, ...], Field(min_length=2, max_length=8)] = (64, 128, 192, 256)
    unet_width: Count = 96
    unet_depth: Annotated[int, Field(ge=1, le=4)] = 3
    auxiliary_width: Count = 128
    attention: bool = True
    trunk_stride: Literal[1, 2] = 2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    compile: bool = False
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
    clamp_max: Positive = 10.0
    clamp_mode: Literal["hard", "rescale"] = "rescale"
    blend_in_steps: Annotated[int, Field(ge=0)] = 50

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: dict[str, object]) -> dict[str, object]:
        weights = values.get("weights")
        if isinstance(weights, dict):
            unknown = sorted(set(weights) - set(LOSS_TERMS))
            if unknown:
                raise ValueError(f"unknown loss term {unknown[0]!r}: there are {', '.join(LOSS_TERMS)}")
            values = {**values, "weights": {**_default_weights(), **weights}}
        return values


class TrainingConfig(_Section):
    """Optimisation: learning rates are per step, warm-up is in epochs, the clip bounds the global L2 norm."""

    learning_rate: Positive = 1e-3
    min_learning_rate: NonNegative = 1e-8
    warmup_epochs: NonNegative = 1.0
    epochs: Count = 20
    max_steps: Annotated[int, Field(ge=0)] = 0
    batch_size: Count = 2
    accumulation: Count = 1
    gradient_clip: Positive = 1.0
    weight_decay: NonNegative = 1e-4
    optimizer: Literal["adam", "adamw"] = "adamw"
    mixed_precision: bool = False
    amp_dtype: Literal["bf16", "fp16"] = "bf16"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class SyntheticConfig(_Section):
    """The built-in people: how many scenes are drawn and how large they are (pixels)."""

    num_train_scenes: Count = 400
    num_val_scenes: Count = 60
    image_size: Annotated[int, Field(ge=64, le=1024)] = 192
    max_people: Annotated[int, Field(ge=1, le=12)] = 5


class DataConfig(_Section):
    """Where the people come from and how a region of interest is cut out of its image."""

    path: str = ""
    augment: Fraction = 0.5
    roi_jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    roi_padding: Annotated[float, Field(ge=0, le=1)] = 0.0
    keep_aspect: bool = False
    min_person_pixels: Count = 16
    num_workers: Annotated[int, Field(ge=0, le=64)] = 0
    synthetic: SyntheticConfig = SyntheticConfig()


class ValidationConfig(_Section):
    """How often the validation split is measured, and with how many regions of interest at a time."""

    every_epochs: Count = 1
    batch_size: Count = 16
    num_previews: Annotated[int, Field(ge=0, le=64)] = 8
    boundary_tolerance: Annotated[int, Field(ge=1, le=16)] = 2


class CheckpointConfig(_Section):
    """How often a checkpoint is written and how many are kept beside the best and the last good one."""

    every_steps: Annotated[int, Field(ge=0)] = 200
    every_epochs: Annotated[int, Field(ge=0)] = 1
    keep_last: Count = 3


class GateConfig(_Section):
    """What a promotion to the next phase asks for (SEED.md: gradient norms stay under 10)."""

    min_steps: Annotated[int, Field(ge=1)] = 100
    window_steps: Annotated[int, Field(ge=4, le=10_000)] = 100
    max_grad_norm: Positive = 10.0
    max_miou_drop: Fraction = 0.02


class LimitsConfig(_Section):
    """Bounds on interventions, whoever makes them."""

    lr_min: Positive = 1e-9
    lr_max: Positive = 1e-2
    max_lr_factor: Annotated[float, Field(gt=1)] = 10.0


class TensorboardConfig(_Section):
    """What goes to TensorBoard beside the journal."""

    enabled: bool = True
    every_steps: Count = 1


class Config(_Section):
    """One run's configuration, resolved: what `config.yaml` in its directory holds."""

    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    data: DataConfig = DataConfig()
    validation: ValidationConfig = ValidationConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    gate: GateConfig = GateConfig()
    limits: LimitsConfig = LimitsConfig()
    tensorboard: TensorboardConfig = TensorboardConfig()
