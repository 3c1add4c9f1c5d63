"""Samples by index: region, label and distance target of one person, a pure function of seed, epoch and index."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import UserError
from engine.protocol.record import record
from engine.task import DataGoneError, Rejection, Sample, UnreachableSample, UnusableSample
from engine.tasks.person.config import AugmentationsConfig, ModelConfig, PersonDataConfig
from engine.tasks.person.data.augment import augment
from engine.tasks.person.data.augmentations.draws import draw
from engine.tasks.person.data.augmentations.people import Person
from engine.tasks.person.data.augmentations.region import augmented_region
from engine.tasks.person.data.cache import PictureCache
from engine.tasks.person.data.crop import crop_region
from engine.tasks.person.data.distance_target import signed_distance
from engine.tasks.person.data.labels import label_region
from engine.tasks.person.data.readers.scenes import Box, Scene, check_target, targets_of
from engine.tasks.person.data.regions import Sides, jitter_box, pad_box, widened_box
from engine.training.data.order import epoch_order

CACHE_BYTES: Final = 256 * 2**20
"""Bytes of decoded pictures in memory per process and split."""

_PROBED: Final = 8
"""Number of other files to try after one is unreachable, to tell a lost file from a lost disk."""

_SAMPLE_STREAM: Final = 1
"""Separates the samples' random numbers from those of the epoch's order."""

_AUGMENTATION_STREAM: Final = 2
"""Separates the numbers of `data.augmentations`: switching them on leaves jitter and light as they were."""


@record
class RoiRecipe:
    """Parameters of cropping and augmentation. With `training` off, nothing is jittered, augmented or shuffled."""

    roi_size: Sides
    mask_size: Sides
    padding: float
    keep_aspect: bool
    jitter: float
    augment: float
    training: bool
    seed: int
    augmentations: AugmentationsConfig | None = None


def recipe_for(data: PersonDataConfig, model: ModelConfig, *, seed: int, training: bool) -> RoiRecipe:
    """Return the recipe that the configuration specifies."""
    return RoiRecipe(
        roi_size=model.roi_shape,
        mask_size=model.mask_shape,
        padding=data.roi_padding,
        keep_aspect=data.keep_aspect,
        jitter=data.roi_jitter if training else 0.0,
        augment=data.augment if training else 0.0,
        training=training,
        seed=seed,
        augmentations=data.augmentations if training and data.augmentations.any_on() else None,
    )


class RoiDataset:
    """The regions of interest of one split, one per person of at least `min_pixels` per side.

    Each sample holds RGB in 0..1 at ROI size and two targets at mask size. They are the label (0 background, 1 target,
    2 other) and the target's signed distance in -1..1. Without training, it also holds the box within the region.
    """

    def __init__(self, scenes: tuple[Scene, ...], recipe: RoiRecipe, *, min_pixels: int, max_bytes: int = CACHE_BYTES):
        self._scenes = scenes
        self._recipe = recipe
        self._targets = targets_of(scenes, min_pixels)
        self._cache = PictureCache(scenes, max_bytes)
        self._order: tuple[int, NDArray[np.intp]] | None = None

    def __len__(self) -> int:
        return len(self._targets)

    def sample(self, epoch: int, index: int) -> Sample:
        """Return the sample at `index` (0 .. len - 1) of the order of `epoch`. Equal arguments return equal bits.

        An unusable sample is replaced by the next usable one in that order, and the sample lists the rejections. Raises
        UserError if no sample of the split is usable, DataGoneError if almost all files are unreachable.
        """
        rejections: list[Rejection] = []
        for place in range(len(self)):
            target = self._target_at(epoch, (index + place) % len(self))
            try:
                return self._cut(target, epoch, tuple(rejections))
            except UnusableSample as error:
                scene, _ = self._targets[target]
                if isinstance(error, UnreachableSample):
                    self._take_for_lost(scene, error)
                rejections.append(Rejection(self._scenes[scene].name, str(error)))
        reason = f": {rejections[0].file}: {rejections[0].error}" if rejections else ""
        raise UserError(f"No person in the split can be used{reason}.")

    def sample_id_at(self, epoch: int, index: int) -> str:
        """Return the name of the picture whose person comes at `index` of `epoch`, without reading it."""
        return self._scenes[self._targets[self._target_at(epoch, index)][0]].name

    def _take_for_lost(self, scene: int, error: UnreachableSample) -> None:
        """Mark one unreachable file as lost. Raises DataGoneError if most other files are unreachable too."""
        others = [other for index, other in enumerate(self._scenes) if index != scene]
        probed = others[:: max(1, len(others) // _PROBED)]
        num_gone = sum(not _is_reachable(other) for other in probed)
        if 2 * num_gone > len(probed) or not probed:
            raise DataGoneError(f"{self._scenes[scene].name}: {error}, and so {num_gone} of {len(probed)} others")
        self._cache.note_missing(scene, str(error))

    def fingerprint(self) -> str:
        """Return a text that changes with the data of the split."""
        # A data worker needs no readers of data sets.
        from engine.tasks.person.data.checks.fingerprint import fingerprint  # noqa: PLC0415

        return fingerprint(self._scenes)

    def _cut(self, target: int, epoch: int, rejections: tuple[Rejection, ...]) -> Sample:
        recipe = self._recipe
        scene, number = self._targets[target]
        picture = self._cache.read(scene)
        person = picture.people[number]
        check_target(person)
        rng = np.random.default_rng((recipe.seed, epoch, target, _SAMPLE_STREAM))
        image_3HW, label_HW = self._region(Person(picture, number), target, epoch, rng)
        if recipe.augment:
            image_3HW, label_HW = augment(image_3HW, label_HW, probability=recipe.augment, rng=rng)
        distance_1HW = torch.from_numpy(signed_distance(label_HW.numpy()))[None]
        tensors = {"image_N3HW": image_3HW, "label_NHW": label_HW, "distance_N1HW": distance_1HW}
        if not recipe.training:
            tensors["box_N4"] = box_in_region(person.box, region_for(person.box, recipe))
        return Sample(tensors, f"{self._scenes[scene].name}#{person.id}", rejections)

    def _region(self, person: Person, target: int, epoch: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return the image and the labels of the person's region, changed by the augmentations that are on."""
        recipe = self._recipe
        if recipe.augmentations is None:
            region = region_for(person.mask.box, recipe, rng)
            label_HW = label_region(person.picture, person.number, region, recipe.mask_size)
            return crop_region(person.picture.image, region, recipe.roi_size), torch.from_numpy(label_HW)
        return augmented_region(
            person,
            lambda box: region_for(box, recipe, rng),
            (recipe.roi_size, recipe.mask_size),
            recipe.augmentations,
            draw(np.random.default_rng((recipe.seed, epoch, target, _AUGMENTATION_STREAM))),
            self._person_at,
        )

    def _person_at(self, value: float) -> Person | None:
        """Return the person that a number in 0..1 names, `None` if it cannot be used."""
        scene, number = self._targets[int(value * len(self._targets))]
        try:
            picture = self._cache.read(scene)
            check_target(picture.people[number])
        except UnusableSample:
            return None
        return Person(picture, number)

    def _target_at(self, epoch: int, index: int) -> int:
        if not self._recipe.training:
            return index
        known = self._order
        if known is None or known[0] != epoch:
            scenes = [scene for scene, _ in self._targets]
            known = self._order = epoch, epoch_order(scenes, seed=self._recipe.seed, epoch=epoch)
        return int(known[1][index])


def _is_reachable(scene: Scene) -> bool:
    try:
        scene.read()
    except UnreachableSample:
        return False
    except UnusableSample:
        return True
    return True


def region_for(box: Box, recipe: RoiRecipe, rng: np.random.Generator | None = None) -> Box:
    """Return the region of a box, with jitter drawn from `rng` if the recipe has any."""
    region = pad_box(box, recipe.padding)
    if recipe.jitter and rng is not None:
        region = jitter_box(region, recipe.jitter, rng)
    return widened_box(region, recipe.roi_size) if recipe.keep_aspect else region


def box_in_region(box: Box, region: Box) -> Tensor:
    """Return left, top, right and bottom of a box as fractions of its region: (4,), exactly 0, 0, 1, 1 if equal."""
    inner = pad_box(box, 0.0)
    sides = [region[2] - region[0], region[3] - region[1]] * 2
    corners = [region[0], region[1]] * 2
    return torch.tensor([(at - corner) / side for at, corner, side in zip(inner, corners, sides, strict=True)])
