"""Samples from any map-style PyTorch data set; order and random numbers depend only on the seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from threading import local
from typing import Any, Final, Protocol, cast

import numpy as np
import torch
from numpy.random import mtrand
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

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
    """Return the items of `dataset` as samples with exact resume.

    `to_tensors` names an item's tensors. Without it, a mapping keeps its names, and the members of a tuple are called
    `input` and `target` (others by their index). With `shuffle` each epoch has its own order. Random numbers of an
    item, from Python, NumPy or torch, depend only on `seed`, the epoch and the item. With data.num_workers 0 items are
    loaded between steps, as in PyTorch's loader; with more, in parallel.

    Raises UserError for an empty data set, and for one without length or items by number.
    """
    _check_map_style(dataset)
    return DatasetSamples(dataset, to_tensors or named_tensors, seed=seed, shuffle=shuffle)


class DatasetSamples:
    """The items of a map-style data set by epoch and index."""

    draws_random_numbers = True

    def __init__(
        self, dataset: MapStyle, to_tensors: Callable[[Any], Mapping[str, Any]], *, seed: int, shuffle: bool
    ) -> None:
        self._dataset = dataset
        self._length = len(dataset)  # positions in an epoch count on it
        self._to_tensors = to_tensors
        self._seed = seed
        self._shuffle = shuffle
        self._order: tuple[int, NDArray[np.intp]] | None = None

    def __len__(self) -> int:
        return self._length

    def sample(self, epoch: int, index: int) -> Sample:
        """Return the item at `index` of the order of `epoch`. Equal arguments return equal bits."""
        item = self._item_at(epoch, index)
        with _seeded((self._seed, epoch if self._shuffle else 0, item)):
            tensors: Any = self._to_tensors(self._dataset[item])
        named = _named(item, tensors)
        return Sample({name: _tensor_of(item, name, value) for name, value in named.items()}, str(item))

    def sample_id_at(self, epoch: int, index: int) -> str:
        """Return the number of the item at place `index` of `epoch`, without making it."""
        return f"item {self._item_at(epoch, index)}"

    def _item_at(self, epoch: int, index: int) -> int:
        if not self._shuffle:
            return index
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, np.random.default_rng((self._seed, epoch)).permutation(len(self))
        return int(self._order[1][index])


def named_tensors(item: Any) -> dict[str, Any]:
    """Return the tensors of an item by name: a mapping unchanged, a tuple as `input`, `target`, `2` and so on.

    A named tuple keeps its field names.
    """
    if isinstance(item, Mapping):
        return dict(item)
    if hasattr(item, "_fields"):
        return item._asdict()
    if isinstance(item, Sequence) and not isinstance(item, str | bytes):
        names = ("input", "target", *map(str, range(2, len(item))))
        return dict(zip(names, item, strict=False))
    return {"input": item}


def as_tensor(value: Any) -> Tensor:
    """Return a number, an array, a picture or a tensor as a new tensor. Raises TypeError for other types."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError("a tensor has no mask")
    if not isinstance(value, Tensor):
        return torch.as_tensor(np.array(value))
    plain = value.detach().cpu().clone()
    plain.numpy()  # batches are stacked by NumPy, which lacks some types
    return plain


def _named(item: int, tensors: Any) -> Mapping[str, Any]:
    """Return `tensors` if they are some by name. Raises UserError otherwise."""
    if isinstance(tensors, Mapping) and tensors:
        return cast(Mapping[str, Any], tensors)
    raise UserError(
        f"item {item} of the data set: {_kind_of(tensors)} holds no tensors by name; let the item be a tuple or a dict "
        "of tensors, or return a dict from to_tensors"
    )


def _tensor_of(item: int, name: str, value: Any) -> Tensor:
    try:
        return as_tensor(value)
    except (TypeError, ValueError, NotImplementedError):
        raise UserError(
            f"item {item} of the data set: {name!r} is {_kind_of(value)}, which is no number, array or tensor that "
            "a batch can be made of; name its tensors with from_dataset(..., to_tensors=...)"
        ) from None


def _kind_of(value: Any) -> str:
    if isinstance(value, Tensor):
        layout = "" if value.layout == torch.strided else "sparse "
        return f"a {layout}tensor of {value.dtype}{' without values' if value.is_meta else ''}"
    if isinstance(value, np.ndarray):
        return f"{'a masked' if isinstance(value, np.ma.MaskedArray) else 'an'} array of {value.dtype}"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"


def _check_map_style(dataset: Any) -> None:
    """Check that `dataset` has a length and items by number. Raises UserError otherwise."""
    what = f"the data set is {_kind_of(dataset)}"
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise UserError(
            f"{what}, which has no length: an iterable-style data set cannot be resumed in the middle of an epoch; "
            "give a map-style one, with __len__ and __getitem__"
        )
    if isinstance(dataset, Mapping | str | bytes) or not hasattr(dataset, "__getitem__"):
        raise UserError(f"{what}, which has no items by number; give a map-style one, such as a TensorDataset")
    if len(dataset) == 0:
        raise UserError("the data set is empty: there is nothing to train on")


@contextmanager
def _seeded(entropy: tuple[int, ...]) -> Generator[None]:
    """Seed the global generators for the block, and restore them afterwards.

    NumPy's global functions draw from another generator meanwhile: to copy the state of its own one takes a hundred
    times as long. A second normal number that `np.random.randn` has in reserve is lost.
    """
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    python, numpy, cpu = random.getstate(), mtrand.get_bit_generator(), torch.get_rng_state()
    mtrand.set_bit_generator(_generators.own)
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)  # the devices' generators are not changed
    try:
        yield
    finally:
        random.setstate(python)
        mtrand.set_bit_generator(numpy)
        torch.set_rng_state(cpu)


class _Generators(local):
    """The generator of NumPy's global functions while an item is made, one for each thread."""

    def __init__(self) -> None:
        self.own = np.random.MT19937(0)


_generators: Final = _Generators()
