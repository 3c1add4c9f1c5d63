"""Configuration of the person task: network sizes, region cropping and loss weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import BeforeValidator, Field, create_model, field_validator, model_validator

from engine.config.sections import (
    Count,
    DataConfig,
    Fraction,
    LossConfig,
    NetworkConfig,
    NonNegative,
    Positive,
    Section,
    ValidationConfig,
)
from engine.config.tree import RunConfig
from engine.errors import did_you_mean
from engine.tasks.person.spec import EXCLUSIVE_REFINEMENTS, LOSS_TERMS, SWITCHES, TERM_WEIGHTS

ClassWeights = Annotated[tuple[Positive, ...], Field(min_length=3, max_length=3, strict=False)]
"""Weight of a pixel of background, of the target and of another person."""
Widths = Annotated[tuple[Count, ...], Field(min_length=2, max_length=8, strict=False)]


def _whole(value: object) -> object:
    """Return `value` unless it is `true` or a float such as `1.0`, which Python treats as equal to 1.

    Raises ValueError for those.
    """
    if type(value) is not int:
        raise ValueError("must be a whole number")
    return value


class RefinementSwitches(Section, frozen=True):
    """Refinements that are on when the run starts (phases 1 to 4)."""

    @model_validator(mode="after")
    def _exclusive(self) -> RefinementSwitches:
        if all(getattr(self, name) for name in EXCLUSIVE_REFINEMENTS):
            raise ValueError(f"{' and '.join(EXCLUSIVE_REFINEMENTS)} exclude each other: switch one off")
        return self

    def active(self) -> frozenset[str]:
        """Return the names of the refinements that are on."""
        return frozenset(name for name, on in self.model_dump().items() if on)


if TYPE_CHECKING:
    RefinementsConfig = RefinementSwitches
else:
    RefinementsConfig = create_model(
        "RefinementsConfig",
        __base__=RefinementSwitches,
        **{name: (bool, Field(False, description=meaning)) for name, meaning in SWITCHES.items()},
    )


class ModelConfig(NetworkConfig, frozen=True):
    """The hierarchical UNet V2 with attention: sizes in pixels, widths in channels."""

    roi_size: Annotated[int, Field(ge=16, le=512, multiple_of=16)] = 64
    """Height in pixels of the region of interest that the network reads, and its width unless roi_width is set."""
    roi_width: Annotated[int, Field(ge=0, le=512, multiple_of=16)] = 0
    """Width in pixels of a region that is not square, such as 48 for people who stand; 0 for roi_size."""
    mask_size: Annotated[int, Field(ge=16, le=512, multiple_of=16)] = 64
    """Height in pixels of the predicted mask, and its width unless mask_width is set."""
    mask_width: Annotated[int, Field(ge=0, le=512, multiple_of=16)] = 0
    """Width in pixels of a mask that is not square; 0 for mask_size."""
    extractor_widths: Widths = (64, 128, 192, 256)
    """Channels of each stage of the RGB extractor; the last is the width of the trunk."""
    unet_width: Annotated[int, Field(ge=4)] = 96
    """Channels of the foreground UNet at its finest level; each lower level has twice as many."""
    unet_depth: Annotated[int, Field(ge=1, le=4)] = 3
    """Resolution levels of the foreground UNet."""
    auxiliary_width: Count = 128
    """Channels inside the auxiliary foreground head."""
    attention: bool = True
    """Use spatial and channel attention in the branch that separates the target from other people."""
    trunk_stride: Annotated[Literal[1, 2], BeforeValidator(_whole)] = 2
    """Pixels of the region per position of the trunk; 2 computes the trunk at half resolution."""
    norm: Literal["layer", "group", "batch"] = "layer"
    """Norms: layer (each region in the extractor, each pixel elsewhere), group (8 groups of channels), batch."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Probability of dropping a feature channel in training; the foreground gate uses half of it."""
    box_channel: bool = False
    """Read the box as a fourth channel: 1 inside it, 0 in the context around it (roi_padding)."""
    flip_average: bool = False
    """In validation and use, average the outputs for a region and for its mirror image; twice the time."""
    min_other_share: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """In validation and use, class other wins nowhere in a region where it wins in less than this share of the box."""
    refinements: RefinementsConfig = RefinementsConfig()

    @property
    def roi_shape(self) -> tuple[int, int]:
        """Height and width of the region that the network reads."""
        return self.roi_size, self.roi_width or self.roi_size

    @property
    def mask_shape(self) -> tuple[int, int]:
        """Height and width of the predicted mask."""
        return self.mask_size, self.mask_width or self.mask_size


class PersonLossConfig(LossConfig, frozen=True):
    """Weights of the loss terms, and the clamp on refinement losses."""

    weights: dict[str, NonNegative] = Field(default_factory=lambda: dict(TERM_WEIGHTS))
    """Weight of the {entry} term in the total loss."""
    class_weights: ClassWeights = (0.54, 0.75, 1.71)
    """Weights of background, target and other in the cross-entropy, from their shares of COCO's person pixels."""

    @field_validator("weights", mode="before")
    @classmethod
    def _complete(cls, weights: object) -> object:
        """Return the weights, completed by the defaults. Raises ValueError for an unknown term."""
        if not isinstance(weights, dict):
            return weights
        given = cast("dict[str, object]", weights)
        if unknown := sorted(set(given) - set(LOSS_TERMS)):
            raise ValueError(f"there is no loss term {unknown[0]!r}; {did_you_mean(unknown[0], LOSS_TERMS)}")
        return {**TERM_WEIGHTS, **given}


class SyntheticConfig(Section, frozen=True):
    """The synthetic dataset: the number of scenes and their size in pixels."""

    num_train_scenes: Count = 400
    """Scenes in the training split."""
    num_val_scenes: Count = 60
    """Scenes in the validation split."""
    image_size: Annotated[int, Field(ge=64, le=1024)] = 192
    """Side of a scene in pixels."""
    max_people: Annotated[int, Field(ge=1, le=12)] = 5
    """Maximum number of people in a scene."""


class AugmentationsConfig(Section, frozen=True):
    """Further changes of a training region, each off at 0. They follow from the seed, the epoch and the person."""

    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Maximum rotation in degrees, both ways. The box is fitted to the rotated person."""
    scale: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The region's sides are multiplied by one factor from exp(-scale) to exp(scale)."""
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Maximum shift of the whole region, as a fraction of its side."""
    background: Fraction = 0.0
    """Probability of putting the target into a part of another training image, whose people are class other."""
    copy_paste: Fraction = 0.0
    """Probability of laying a person of another region into this one, as class other."""
    copy_paste_visible: Fraction = 0.5
    """Minimum share of the target that such a person leaves visible; it is laid behind the target otherwise."""
    gray: Fraction = 0.0
    """Probability of a region without colours."""
    blur: Fraction = 0.0
    """Probability of a region with less detail: of a third of its resolution, or more."""
    erasing: Fraction = 0.0
    """Probability of painting a rectangle of the image in one colour. The labels stay as they are."""

    def any_on(self) -> bool:
        """Return whether at least one of them can change a region."""
        chances = (self.background, self.copy_paste, self.gray, self.blur, self.erasing)
        return any((self.rotation, self.scale, self.shift, *chances))


class PersonDataConfig(DataConfig, frozen=True):
    """Source of the images, and how a region of interest is cut from an image."""

    WHICH: ClassVar[tuple[str, ...]] = ("path", "hold_out", "hold_out_share", "use_crowds", "synthetic")

    path: str = ""
    """Directory of images and annotations (--data); empty for the synthetic dataset."""
    augment: Fraction = 0.5
    """Probability of changing the light of a training region; it is mirrored with the same, at most 0.5."""
    augmentations: AugmentationsConfig = AugmentationsConfig()
    roi_jitter: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Maximum shift of each edge of a training box, as a fraction of the box's side."""
    roi_padding: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Context added on every side of a box, as a fraction of its side."""
    keep_aspect: bool = False
    """Widen the box to the shape of the region, a square by default, instead of squeezing its content into it."""
    min_person_pixels: Count = 16
    """Minimum width and height in image pixels of a person that becomes a sample."""
    hold_out: Literal["by_hash", "in_order"] = "by_hash"
    """How a validation fifth is chosen if the data have one split: by hashes of file names, or in their order."""
    hold_out_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Fraction of the training images that is held out and validated in place of the val split; 0 for the val split."""
    use_crowds: bool = False
    """Use COCO annotations with iscrowd=1 as people; CVAT exports masks of single people this way."""
    synthetic: SyntheticConfig = SyntheticConfig()


class PersonValidationConfig(ValidationConfig, frozen=True):
    """Frequency of validation, and the tolerance of the boundary metric."""

    boundary_tolerance: Annotated[int, Field(ge=1, le=16)] = 2
    """Maximum distance in mask pixels at which two outlines match in boundary F."""


class PersonConfig(RunConfig, frozen=True):
    """Configuration of one run of the person task."""

    model: ModelConfig = ModelConfig()
    loss: PersonLossConfig = PersonLossConfig()
    data: PersonDataConfig = PersonDataConfig()
    validation: PersonValidationConfig = PersonValidationConfig()

    FORMER: ClassVar[Mapping[str, str]] = {"data.hold_out": "in_order"}

    @model_validator(mode="after")
    def _has_a_box(self) -> PersonConfig:
        if self.model.box_channel and (self.data.keep_aspect or not self.data.roi_padding):
            raise ValueError("model.box_channel needs context (data.roi_padding above 0) and data.keep_aspect false")
        return self

    SWITCHES: ClassVar[str] = "model.refinements"

    @classmethod
    def switches(cls, tree: Mapping[str, Any]) -> dict[str, bool]:
        """Return for each refinement whether it is on."""
        return dict(tree["model"]["refinements"])

    def active_components(self) -> frozenset[str]:
        """Return the refinements that are on when the run starts."""
        return self.model.refinements.active()
