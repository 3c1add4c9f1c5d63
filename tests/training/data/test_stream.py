"""The stream of batches: in order, resumable bit for bit, and clean when closed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
import torch

from engine.task import Rejection, Sample
from engine.tasks.person.data.sources import open_splits
from engine.training.data.batch import Batch, Position
from engine.training.data.spans import span_at
from engine.training.data.stream import BatchStream
from tests.tasks.person.data.builders import SMALL_MODEL, data_config, write_coco


class Numbers:
    """Samples that carry their place; some fail or are slow."""

    def __init__(self, length: int, *, broken: frozenset[int] = frozenset(), seconds: float = 0.0) -> None:
        self.length, self.broken, self.seconds = length, broken, seconds
        self.error: Exception | None = None
        self.num_drawn = 0

    def __len__(self) -> int:
        return self.length

    def sample(self, epoch: int, index: int) -> Sample:
        self.num_drawn += 1
        time.sleep(self.seconds)
        if self.error:
            raise self.error
        rejections = (Rejection(f"{index}.png", "broken"),) if index in self.broken else ()
        image = torch.full((3, 2, 2), float(epoch * 1000 + index))
        tensors = {"image": image, "label": torch.zeros(2, 2, dtype=torch.int64)}
        return Sample(tensors, f"{epoch}/{index}", rejections)


class Held(Numbers):
    """Samples of which the first is there when the caller has waited for it."""

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.may_go_on = threading.Event()

    def sample(self, epoch: int, index: int) -> Sample:
        assert self.may_go_on.wait(30)
        return super().sample(epoch, index)


def take(stream: BatchStream, count: int) -> list[Batch]:
    return [stream.next() for _ in range(count)]


def ids(batches: list[Batch]) -> list[tuple[str, ...]]:
    return [batch.sample_ids for batch in batches]


def equal(one: Batch, other: Batch) -> bool:
    plain = (one.sample_ids, one.after, one.ends_epoch) == (other.sample_ids, other.after, other.ends_epoch)
    same_tensors = all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    return plain and same_tensors and set(one.tensors) == set(other.tensors)


def data_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("data")]


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (Position(0, 0), (0, 0, 4, Position(0, 4), False)),
        (Position(0, 8), (0, 8, 10, Position(1, 0), True)),
        (Position(2, 6), (2, 6, 10, Position(3, 0), True)),
        (Position(1, 10), (2, 0, 4, Position(2, 4), False)),
        (Position(1, 999), (2, 0, 4, Position(2, 4), False)),
    ],
)
def test_spans_follow_each_other(position: Position, expected: tuple[int, int, int, Position, bool]) -> None:
    span = span_at(position, batch_size=4, length=10)
    assert (span.epoch, span.start, span.stop, span.after, span.ends_epoch) == expected


def test_batches_run_on_over_epochs_and_the_last_of_each_is_smaller() -> None:
    stream = BatchStream(Numbers(5), batch_size=2)
    batches = take(stream, 6)
    stream.close()
    assert ids(batches)[:4] == [("0/0", "0/1"), ("0/2", "0/3"), ("0/4",), ("1/0", "1/1")]
    assert [batch.ends_epoch for batch in batches] == [False, False, True] * 2
    assert [batch.after for batch in batches[:3]] == [Position(0, 2), Position(0, 4), Position(1, 0)]


def test_resuming_after_any_batch_gives_the_same_bits(tmp_path: Path) -> None:
    splits = open_splits(data_config(write_coco(tmp_path)), SMALL_MODEL, 3)
    unbroken = BatchStream(splits.train, batch_size=4)
    batches = take(unbroken, 7)
    unbroken.close()
    for place in range(6):
        again = open_splits(data_config(tmp_path), SMALL_MODEL, 3)
        resumed = BatchStream(again.train, batch_size=4, position=batches[place].after)
        assert all(equal(one, other) for one, other in zip(batches[place + 1 :], take(resumed, 6 - place), strict=True))
        resumed.close()


def test_reseating_goes_on_from_there_with_the_new_size_and_nothing_of_what_was_ready() -> None:
    stream = BatchStream(Numbers(10), batch_size=2)
    take(stream, 2)
    stream.reseat(Position(0, 7), 3)
    assert ids(take(stream, 2)) == [("0/7", "0/8", "0/9"), ("1/0", "1/1", "1/2")]
    stream.reseat(Position(0, 4), 1)
    assert ids(take(stream, 2)) == [("0/4",), ("0/5",)]
    stream.close()


def test_a_batch_that_failed_is_assembled_in_parts_and_the_stream_goes_on_after_it() -> None:
    numbers = Numbers(7)
    stream = BatchStream(numbers, batch_size=3)
    with pytest.raises(RuntimeError, match="was assembled"):
        stream.part_of_failed(0, 1)
    take(stream, 1)
    stream.reseat(Position(0, 3), 3)
    numbers.error = MemoryError("none")
    stream.reseat(Position(0, 3), 3)
    with pytest.raises(MemoryError):
        stream.next()
    with pytest.raises(MemoryError):
        stream.part_of_failed(0, 2)
    numbers.error = None
    assert stream.num_failed == 3
    parts = [stream.part_of_failed(first, 2) for first in (0, 2)]
    assert ids(parts) == [("0/3", "0/4"), ("0/5",)] and not parts[1].ends_epoch and stream.num_failed == 0
    assert ids(take(stream, 2)) == [("0/6",), ("1/0", "1/1", "1/2")]
    stream.close()


def test_batches_are_made_ahead_while_the_caller_is_busy() -> None:
    samples = Held(100)
    stream = BatchStream(samples, batch_size=1)
    looks: list[int] = []

    def let_go_at_the_second_look() -> bool:
        looks.append(1)
        if len(looks) == 2:  # a turn of waiting is over
            samples.may_go_on.set()
        return False

    assert stream.wait(let_go_at_the_second_look)
    first = stream.next()
    deadline = time.monotonic() + 30
    while samples.num_drawn < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)  # in which no more are made
    num_drawn = samples.num_drawn
    later = take(stream, 2)
    stream.close()
    assert num_drawn == 4, "the first, the requested one, and two ahead"
    assert first.wait_seconds >= 0.04
    assert [batch.wait_seconds for batch in later] == [0.0, 0.0]


def test_each_rejection_is_reported_once_however_often_it_is_met() -> None:
    stream = BatchStream(Numbers(4, broken=frozenset({1, 2})), batch_size=4)
    first, second = take(stream, 2)
    stream.close()
    assert [rejection.file for rejection in first.rejections] == ["1.png", "2.png"]
    assert second.rejections == ()


def test_torchs_global_generator_is_neither_read_nor_moved(tmp_path: Path) -> None:
    splits = open_splits(data_config(write_coco(tmp_path), augment=1.0), SMALL_MODEL, 0)
    runs: list[list[Batch]] = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        stream = BatchStream(splits.train, batch_size=3)
        runs.append(take(stream, 4))
        stream.close()
        assert torch.equal(torch.random.get_rng_state(), before)
    assert all(equal(one, other) for one, other in zip(*runs, strict=True))


def test_what_goes_wrong_in_the_thread_is_raised_where_the_batch_is_asked_for() -> None:
    samples = Numbers(10)
    samples.error = KeyError("a bug")
    stream = BatchStream(samples, batch_size=2)
    with pytest.raises(KeyError, match="a bug"):
        stream.next()
    stream.close()
    assert not data_threads()


def test_closing_leaves_no_thread() -> None:
    stream = BatchStream(Numbers(10, seconds=0.02), batch_size=2)
    stream.next()
    assert data_threads()
    stream.close()
    assert not data_threads()
    stream.close()
    with pytest.raises(RuntimeError, match="the stream is closed"):
        stream.next()


def test_a_stream_over_nothing_and_an_empty_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        BatchStream(Numbers(0), batch_size=2)
    stream = BatchStream(Numbers(3), batch_size=2)
    with pytest.raises(ValueError, match="at least one sample, not 0"):
        stream.reseat(Position(), 0)
    stream.close()
