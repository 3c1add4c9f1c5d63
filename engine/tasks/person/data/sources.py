"""Open the two splits of a run from a directory or the synthetic dataset, and check them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.errors import UserError
from engine.protocol.words.command_syntax import program_name
from engine.task import Splits
from engine.tasks.person.config import ModelConfig, PersonDataConfig
from engine.tasks.person.data.checks.doubts import sample_doubts
from engine.tasks.person.data.dataset import RoiDataset, recipe_for
from engine.tasks.person.data.readers.coco.reader import CocoOptions, Say, quiet
from engine.tasks.person.data.readers.holdout import held_out_share
from engine.tasks.person.data.readers.index import DatasetIndex, index_dataset
from engine.tasks.person.data.readers.scenes import SplitIndex
from engine.tasks.person.data.synthetic.scenes import draw_index


def open_splits(config: PersonDataConfig, model: ModelConfig, seed: int, say: Say = quiet) -> Splits:
    """Return the splits that `config` names. Without a path they are synthetic, equal for every seed.

    `say` receives a progress line from time to time. Raises UserError if the path or its layout is unknown, or if a
    split holds no usable person.
    """
    index = index_of(config, say)
    train = RoiDataset(
        index.train.scenes,
        recipe_for(config, model, seed=seed, training=True),
        min_pixels=config.min_person_pixels,
    )
    val = RoiDataset(
        index.val.scenes,
        recipe_for(config, model, seed=seed, training=False),
        min_pixels=config.min_person_pixels,
    )
    source = config.path or "the synthetic dataset"
    _check_usable(train, index.train, f"The train split of {source}", config)
    _check_usable(val, index.val, f"The val split of {source}", config)
    doubts = (*index.train.doubts, *index.val.doubts, *(sample_doubts(index.train, index.val) if config.path else ()))
    return Splits(train, val, index.train.problems + index.val.problems, doubts, index.notes)


def index_of(config: PersonDataConfig, say: Say) -> DatasetIndex:
    """Return the scenes of the data that `config` names. Raises UserError if the path or its layout is unknown."""
    if config.path:
        index = index_dataset(Path(config.path), config.hold_out, CocoOptions(config.use_crowds, say))
    else:
        index = draw_index(config.synthetic)
    return _held_from_train(index, config.hold_out_share) if config.hold_out_share else index


def _held_from_train(index: DatasetIndex, share: float) -> DatasetIndex:
    """Return the index with `share` of the training images as its val split. The former val split is not used."""
    scenes = index.train.scenes
    held = held_out_share((scene.name for scene in scenes), share)
    kept = tuple(scene for scene in scenes if scene.name not in held)
    val = tuple(scene for scene in scenes if scene.name in held)
    note = f"{len(val)} of {len(scenes)} training images with people are held out, in place of the val split"
    train = replace(index.train, scenes=kept, num_images=index.train.num_images - len(val))
    return replace(index, train=train, val=SplitIndex(val, num_images=len(val)), notes=(*index.notes, note))


def _check_usable(dataset: RoiDataset, split: SplitIndex, name: str, config: PersonDataConfig) -> None:
    """Check that at least one sample of the split can be cut. Raises UserError if none can."""
    if len(dataset) == 0:
        raise UserError(
            f"{name} has nothing to train on ({_lack(split, config)}): see `{program_name()} data inspect`."
        )
    try:
        dataset.sample(0, 0)
    except UserError as error:
        raise UserError(f"{name} has nothing to train on: {error}") from error


def _lack(split: SplitIndex, config: PersonDataConfig) -> str:
    """Return the reason for a split without samples: its problems, or people that are all too small."""
    problems = [f"{problem.file}: {problem.error}" for problem in split.problems]
    found = [f"{len(problems)} problems, the first in {problems[0]}"] if problems else []
    boxes = [box for scene in split.scenes for box in scene.boxes if box is not None]
    if boxes:
        left, top, right, bottom = max(boxes, key=lambda box: min(box[2] - box[0], box[3] - box[1]))
        largest = f"the largest of {len(boxes)} is {right - left:.0f} x {bottom - top:.0f} pixels"
        found.append(f"no person is large enough: {largest}, data.min_person_pixels is {config.min_person_pixels}")
    return "; ".join(found) or f"no person is annotated in its {split.num_images} images"
