"""Samples from any map-style PyTorch data set, in an order and with random numbers that depend on the seed alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import UserError
from engine.task import Sample, Samples


class MapStyle(Protocol):
    """A map-style data set: `torch.utils.data.Dataset`, a list, an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def from_dataset(
    dataset: MapStyle,
    to_tensors: Callable[[Any], Mapping[str, Any]] | None = None,
    *,
    seed: int = 0,
    shuffle: bool = False,
) -> Samples:
    """Return the items of `dataset` as samples that give exact resume.

    `to_tensors` names an item's tensors; without it a mapping keeps its names, and the members of a tuple are called
    `input` and `target` (further ones by their numbers). With `shuffle` each epoch has an order of its own. Whatever an
    item draws from the generators of Python, NumPy and torch depends on `seed`, the epoch and the item alone.
    Raises UserError for an empty data set.
    """
    if len(dataset) == 0:
        raise UserError("the data set is empty: there is nothing to train on")
    return DatasetSamples(dataset, to_tensors or named_tensors, seed=seed, shuffle=shuffle)


class DatasetSamples:
    """The items of a map-style data set by epoch and place."""

    draws_random_numbers = True

    def __init__(
        self, dataset: MapStyle, to_tensors: Callable[[Any], Mapping[str, Any]], *, seed: int, shuffle: bool
    ) -> None:
        self._dataset = dataset
        self._to_tensors = to_tensors
        self._seed = seed
        self._shuffle = shuffle
        self._order: tuple[int, NDArray[np.intp]] | None = None

    def __len__(self) -> int:
        return len(self._dataset)

    def sample(self, epoch: int, index: int) -> Sample:
        """Return the item at place `index` of the order of `epoch`; equal arguments give equal bits."""
        item = self._item_at(epoch, index)
        with _seeded((self._seed, epoch if self._shuffle else 0, item)):
            tensors = self._to_tensors(self._dataset[item])
        return Sample({name: as_tensor(value) for name, value in tensors.items()}, str(item))

    def _item_at(self, epoch: int, index: int) -> int:
        if not self._shuffle:
            return index
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, np.random.default_rng((self._seed, epoch)).permutation(len(self))
        return int(self._order[1][index])


def named_tensors(item: Any) -> dict[str, Any]:
    """Return the tensors of an item by name: a mapping as it is, a tuple as `input`, `target`, `2` and so on."""
    if isinstance(item, Mapping):
        return dict(item)
    if isinstance(item, Sequence) and not isinstance(item, str):
        names = ("input", "target", *map(str, range(2, len(item))))
        return dict(zip(names, item, strict=False))
    return {"input": item}


def as_tensor(value: Any) -> Tensor:
    """Return a number, an array or a tensor as a tensor of its own."""
    return value.detach().clone() if isinstance(value, Tensor) else torch.as_tensor(np.array(value))


@contextmanager
def _seeded(entropy: tuple[int, ...]) -> Generator[None]:
    """Seed the global generators for the block, and leave them afterwards as they were."""
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)  # the devices' generators are not moved
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
