"""The two splits of a run, from a directory or from the built-in generator, checked before training starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.config import DataConfig, ModelConfig
from engine.data.dataset import RoiDataset, recipe_for
from engine.data.doubts import sample_doubts
from engine.data.index import DatasetIndex, index_dataset
from engine.data.rejections import Doubt, Rejection
from engine.data.scenes import SplitIndex
from engine.data.synthetic import draw_index
from engine.errors import UserError


@dataclass(frozen=True, slots=True)
class Splits:
    """Training and validation samples, and what was wrong with the files they come from or is doubted in them."""

    train: RoiDataset
    val: RoiDataset
    problems: tuple[Rejection, ...]
    doubts: tuple[Doubt, ...] = ()


def open_splits(config: DataConfig, model: ModelConfig, seed: int) -> Splits:
    """The splits that `config` names; without a path, people drawn by the generator, the same for every seed.

    Raises UserError when the path or its layout is unknown, or a split holds no usable person.
    """
    index = _index(config)
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
    source = config.path or "the built-in people"
    _check_usable(train, index.train, f"The train split of {source}")
    _check_usable(val, index.val, f"The val split of {source}")
    doubts = (*index.train.doubts, *index.val.doubts, *(sample_doubts(index.train, index.val) if config.path else ()))
    return Splits(train, val, index.train.problems + index.val.problems, doubts)


def _index(config: DataConfig) -> DatasetIndex:
    if not config.path:
        return draw_index(config.synthetic)
    return index_dataset(Path(config.path), config.hold_out)


def _check_usable(dataset: RoiDataset, split: SplitIndex, name: str) -> None:
    """Raises UserError unless at least one sample of the split can be cut."""
    if len(dataset) == 0:
        problems = [f"{problem.file}: {problem.error}" for problem in split.problems]
        found = f"{len(problems)} problems, the first in {problems[0]}" if problems else "no person is large enough"
        raise UserError(f"{name} has nothing to train on ({found}): see `main.py data inspect`.")
    try:
        dataset.sample(0, 0)
    except UserError as error:
        raise UserError(f"{name} has nothing to train on: {error}") from error
