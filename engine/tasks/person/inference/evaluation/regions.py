"""The regions of a split for an evaluation: each with its sample, its place in the image and its true mask."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.outputs.inference.evaluation import EvaluationRequest, OnProgress, Split
from engine.protocol.record import record
from engine.task import Rejection, Sample
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.data.dataset import RoiDataset, RoiRecipe, recipe_for, region_for
from engine.tasks.person.data.readers.index import DatasetIndex
from engine.tasks.person.data.readers.scenes import Box, Picture, Scene, targets_of
from engine.tasks.person.data.sources import index_of
from engine.tasks.person.inference.run_lengths import encode_mask


@record
class RegionCase:
    """One person of an image: the sample, its region and box, and the mask of `area` pixels as COCO's run lengths."""

    sample: Sample
    image: str
    person: str
    size: tuple[int, int]
    region: Box
    box: Box
    area: int
    truth: dict[str, Any]


class EvaluationRegions:
    """The regions of the people in a split, read scene by scene. `problems` grows while they are read."""

    def __init__(self, config: PersonConfig, request: EvaluationRequest, on_progress: OnProgress) -> None:
        data = config.data.model_copy(update={"hold_out_share": 0.0})
        index = index_of(data, lambda text: on_progress(text, 0, 0))
        self.split: Split = request.split or ("all" if request.data and index.is_divided else "val")
        share = 0.0 if request.data else config.data.hold_out_share
        self.notes = _notes(index, self.split, config.data.path, share)
        parts = {"train": (index.train,), "val": (index.val,), "all": (index.train, index.val)}[self.split]
        self._scenes = tuple(scene for part in parts for scene in part.scenes)
        self._recipe = recipe_for(config.data, config.model, seed=config.training.seed, training=False)
        self._min_pixels = config.data.min_person_pixels
        self.problems = [problem for part in parts for problem in part.problems]
        self._count = len(targets_of(self._scenes, self._min_pixels))
        if not self._count:
            source = config.data.path or "the synthetic dataset"
            raise UserError(
                f"the {self.split} split of {source} has no person of at least {self._min_pixels} pixels per side"
            )

    def __len__(self) -> int:
        return self._count

    def batches(self, batch_size: int) -> Iterator[list[RegionCase]]:
        """Yield the usable regions in order. A thread reads the next batch meanwhile."""
        cases = self._cases()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lambda: list(islice(cases, batch_size)))
            while batch := waiting.result():
                waiting = pool.submit(lambda: list(islice(cases, batch_size)))
                yield batch

    def _cases(self) -> Iterator[RegionCase]:
        for scene in self._scenes:
            held = _ReadOnce(scene)
            dataset = RoiDataset((held,), self._recipe, min_pixels=self._min_pixels, max_bytes=0)
            targets = targets_of((held,), self._min_pixels)
            for place, (_, number) in enumerate(targets):
                try:
                    sample = dataset.sample(0, place)
                except UserError as error:  # no person of the scene can be used
                    self.problems.append(Rejection(scene.name, str(error)))
                    break
                if sample.rejections:  # the sample is another person's
                    self.problems += sample.rejections[:1]
                    continue
                yield _case(sample, scene.name, held.read(), number, self._recipe)


def _case(sample: Sample, image: str, picture: Picture, number: int, recipe: RoiRecipe) -> RegionCase:
    person, size = picture.people[number], picture.image.size
    return RegionCase(
        sample=sample,
        image=image,
        person=person.id,
        size=size,
        region=region_for(person.box, recipe),
        box=person.box,
        area=int(person.mask_HW.sum()),
        truth=encode_mask(person.mask_HW, person.column, person.row, size),
    )


def _notes(index: DatasetIndex, split: Split, path: str, held_out: float) -> tuple[str, ...]:
    """Return notes about the splits; `held_out` is the share of its images that the training held out."""
    if split == "all" and not index.is_divided:
        return ()
    if split == "all":
        return (f"{path} has one split: all of its images are evaluated; --split val takes one in five of them",)
    if not held_out:
        return index.notes
    chosen = f"the best checkpoint was chosen on {100 * held_out:g} % of the training images, held out of the training"
    return (*index.notes, f"{chosen}: {'they are in' if split == 'train' else 'none of them is in'} the {split} split")


class _ReadOnce:
    """A scene whose picture is kept after it was read."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._picture: Picture | None = None

    @property
    def name(self) -> str:
        """The scene's name."""
        return self._scene.name

    @property
    def file(self) -> Path | None:
        """The scene's image file."""
        return self._scene.file

    @property
    def boxes(self) -> tuple[Box | None, ...]:
        """The boxes of the scene's people."""
        return self._scene.boxes

    def read(self) -> Picture:
        """Return the picture. Raises UnusableSample if it cannot be read."""
        if self._picture is None:
            self._picture = self._scene.read()
        return self._picture
