"""Samples of any map-style data set: what they are called, what is refused, and that they are the same every time."""

from __future__ import annotations

import random
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch
from numpy.random import mtrand
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset

from engine.errors import UserError, in_words
from engine.task import Samples
from engine.training.data.batch import Batch, Position
from engine.training.data.from_dataset import from_dataset
from engine.training.data.stream import BatchStream

ROWS = torch.arange(12.0).reshape(6, 2)
LABELS = torch.arange(6)
Named = namedtuple("Named", "image label")
START = Position()


class Noisy(Dataset):  # type: ignore[type-arg]
    """Items that draw from every global generator."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> dict[str, object]:
        return {"index": index, "draws": [random.random(), float(np.random.rand()), float(torch.rand(()))]}


class Unpicklable(Noisy):
    """As `Noisy`, and holds what cannot be sent to another process."""

    def __init__(self) -> None:
        self.held = lambda: None


class Sized(IterableDataset):  # type: ignore[type-arg]
    """An iterable-style data set that knows its length."""

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[int]:
        return iter(range(3))


class Failing(Noisy):
    """Its third item cannot be read."""

    def __getitem__(self, index: int) -> dict[str, object]:
        if index == 2:
            raise OddError("a", "b")
        return super().__getitem__(index)


class OddError(Exception):
    """An error that cannot be unpickled, for it takes other arguments than it passes on."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__(left)


def drawn(samples: Samples, number: int, *, position: Position = START, num_workers: int = 0) -> list[Batch]:
    with closing(BatchStream(samples, batch_size=3, position=position, num_workers=num_workers)) as stream:
        return [stream.next() for _ in range(number)]


def same(left: list[Batch], right: list[Batch]) -> bool:
    return [b.sample_ids for b in left] == [b.sample_ids for b in right] and all(
        torch.equal(mine.tensors[name], theirs.tensors[name])
        for mine, theirs in zip(left, right, strict=True)
        for name in mine.tensors
    )


@pytest.mark.parametrize(
    ("dataset", "names"),
    [
        (TensorDataset(ROWS, LABELS), {"input", "target"}),
        (TensorDataset(ROWS, LABELS, LABELS), {"input", "target", "2"}),
        (Subset(TensorDataset(ROWS, LABELS), [4, 1]), {"input", "target"}),
        (ConcatDataset([TensorDataset(ROWS), TensorDataset(ROWS)]), {"input"}),
        ([{"image": ROWS[0], "label": 3}], {"image", "label"}),
        ([(np.zeros((2, 2), np.uint8), 1)], {"input", "target"}),
        ([Named(ROWS[0], 1)], {"image", "label"}),
        (np.zeros((4, 3), np.float32), {"input"}),
        (ROWS, {"input"}),
        ([1.0, 2.0], {"input"}),
        ([torch.zeros(2, requires_grad=True)], {"input"}),
    ],
)
def test_the_tensors_of_an_item_have_names(dataset: Any, names: set[str]) -> None:
    samples = from_dataset(dataset)
    assert len(samples) == len(dataset) and set(samples.sample(0, 0).tensors) == names
    (batch,) = drawn(samples, 1)
    assert all(len(tensor) == len(batch) and not tensor.requires_grad for tensor in batch.tensors.values())


def test_to_tensors_names_what_an_item_holds() -> None:
    samples = from_dataset(["a", "bc"], lambda word: {"length": len(word)})
    assert [int(samples.sample(0, index).tensors["length"]) for index in range(2)] == [1, 2]


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        ([], "the data set is empty: there is nothing to train on"),
        (iter([1]), "the data set is a list_iterator, which has no length"),
        (Sized(), "the data set is a Sized, which has no length: an iterable-style data set cannot be resumed"),
        ({"a": 1}, "the data set is a dict, which has no items by number"),
        ({1, 2}, "the data set is a set, which has no items by number"),
    ],
)
def test_what_is_no_map_style_data_set_is_refused(dataset: Any, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        from_dataset(dataset)
    assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("item", "what"),
    [
        ("a word", "'input' is a str"),
        ((ROWS[0], "cat"), "'target' is a str"),
        ({"image": None}, "'image' is a NoneType"),
        ({"image": {"deep": 1}}, "'image' is a dict"),
        (torch.zeros(2, dtype=torch.bfloat16), "'input' is a tensor of torch.bfloat16"),
    ],
)
def test_what_is_no_tensor_is_named(item: object, what: str) -> None:
    with pytest.raises(UserError, match=f"^item 0 of the data set: {what}, which is no number, array or tensor"):
        from_dataset([item]).sample(0, 0)


@pytest.mark.parametrize(
    ("second", "how"),
    [
        ({"x": torch.zeros(3), "y": 1}, "x is 2 and 3"),
        ({"x": torch.zeros(2)}, "their tensors are x, y and x"),
        ({"x": torch.zeros(2), "y": 1.5}, "y is of torch.int64 and of torch.float64"),
    ],
)
@pytest.mark.parametrize("num_workers", [0, 1])
def test_items_that_do_not_fit_into_one_batch_are_both_named(second: object, how: str, num_workers: int) -> None:
    samples = from_dataset([{"x": torch.zeros(2), "y": 1}, second])  # type: ignore[list-item]
    with pytest.raises(UserError, match=f"^samples 0 and 1 do not fit into one batch: {how}$"):
        drawn(samples, 1, num_workers=num_workers)


@pytest.mark.parametrize("kind", [Noisy, Unpicklable])
def test_the_middle_of_an_epoch_comes_again_with_any_number_of_workers(kind: Callable[[], Any]) -> None:
    whole = drawn(from_dataset(kind(), seed=3, shuffle=True), 6)
    assert same(drawn(from_dataset(kind(), seed=3, shuffle=True), 4, position=whole[1].after, num_workers=2), whole[2:])
    assert whole[1].after == Position(0, 6) and sorted(int(i) for b in whole[:3] for i in b.sample_ids) == list(
        range(7)
    )
    assert not same(drawn(from_dataset(kind(), seed=4, shuffle=True), 6), whole)


def test_items_draw_other_numbers_in_each_epoch_and_leave_the_generators_alone() -> None:
    samples = from_dataset(Noisy(), shuffle=True)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[union-attr]
    batches = drawn(samples, 6)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states  # type: ignore[union-attr]
    draws = torch.cat([batch.tensors["draws"] for batch in batches])
    assert draws.unique().numel() == draws.numel() == 42
    still = from_dataset(Noisy())
    assert torch.equal(still.sample(0, 1).tensors["draws"], still.sample(9, 1).tensors["draws"])


def test_numbers_of_numpy_are_those_of_its_seed_whatever_generator_the_program_chose() -> None:
    class Drawing(list[int]):
        def __getitem__(self, index: Any) -> Any:
            return {"draws": np.random.randn(3)}

    samples = from_dataset(Drawing(range(4)), seed=3)
    seed = np.random.SeedSequence((3, 0, 2)).generate_state(1)[0]
    expected = np.random.RandomState(seed).randn(3)
    usual = mtrand.get_bit_generator()
    for chosen in (usual, np.random.PCG64(1)):
        mtrand.set_bit_generator(chosen)
        try:
            assert samples.sample(0, 2).tensors["draws"].tolist() == expected.tolist()
            assert mtrand.get_bit_generator() is chosen
        finally:
            mtrand.set_bit_generator(usual)


def test_the_time_that_items_take_is_waited_for() -> None:
    with closing(BatchStream(from_dataset(Noisy()), batch_size=3)) as stream:
        assert stream.is_ready() and stream.next().wait_seconds > 0


def test_an_error_of_an_item_names_it_and_comes_with_its_traceback_from_a_worker() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)^OddError: a, in item 2\n.*in __getitem__.*OddError"):
        drawn(from_dataset(Failing()), 1, num_workers=1)
    with pytest.raises(OddError) as caught:
        drawn(from_dataset(Failing()), 1)
    assert in_words(caught.value) == "OddError: a, in item 2"


@pytest.mark.parametrize(
    ("item", "to_tensors", "kind"),
    [((), None, "a dict"), ({}, None, "a dict"), (1, lambda _: None, "a NoneType"), (1, lambda x: (x,), "a tuple")],
)
def test_an_item_without_named_tensors_is_named(item: object, to_tensors: Any, kind: str) -> None:
    with pytest.raises(UserError, match=f"^item 0 of the data set: {kind} holds no tensors by name; let the item be"):
        from_dataset([item], to_tensors).sample(0, 0)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (torch.eye(2).to_sparse(), "a sparse tensor of torch.float32"),
        (torch.eye(2, device="meta"), "a tensor of torch.float32 without values"),
        (np.ones(2, dtype=">f4"), "an array of >f4"),
        (np.ma.masked_array([1.0, 2.0], mask=[True, False]), "a masked array of float64"),
    ],
)
def test_an_array_or_tensor_that_no_batch_can_hold_is_described(value: object, what: str) -> None:
    with pytest.raises(UserError, match=f"^item 0 of the data set: 'input' is {what}, which is no number"):
        from_dataset([value]).sample(0, 0)


def test_a_data_set_that_loses_items_keeps_the_order_of_an_epoch() -> None:
    items = list(range(9))
    samples = from_dataset(items, shuffle=True)
    before = [samples.sample_id_at(0, place) for place in range(9)]
    del items[5:]
    assert len(samples) == 9
    samples.sample_id_at(1, 0)
    assert before == [samples.sample_id_at(0, place) for place in range(9)]
