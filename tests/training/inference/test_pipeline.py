"""The pipeline of a prediction: batches across images, the order of results, and images that cannot be read."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from numpy.typing import NDArray

from engine.errors import UserError
from engine.outputs.inference.prediction import ImageResult
from engine.task import Prepared, Tensors, UnusableSample
from engine.training.inference.pipeline import Pipeline


class Counted:
    """A predictor whose image i has `counts[i]` samples, and -1 for one that cannot be read."""

    notes: tuple[str, ...] = ()

    def __init__(self, counts: Sequence[int], refuses: bool = False) -> None:
        self.names = tuple(f"image {index}" for index in range(len(counts)))
        self.counts = counts
        self.refuses = refuses
        self.recorded: list[tuple[int, list[int]]] = []
        self.most_read = 0
        self._num_read = 0
        self._lock = threading.Lock()

    def read(self, index: int) -> Prepared:
        if self.counts[index] < 0:
            raise UnusableSample("broken")
        with self._lock:
            self._num_read += 1
            self.most_read = max(self.most_read, self._num_read - len(self.recorded))
        values = torch.arange(self.counts[index]) + 1000 * index
        return Prepared({"x_N": values}, self.counts[index], index)

    def answers(self, outputs: Any) -> NDArray[Any]:
        return outputs.numpy()

    def write(self, index: int, prepared: Prepared, answers: Sequence[NDArray[Any]]) -> Any:
        assert prepared.content == index
        if self.refuses:
            raise OSError(28, "No space left on device", "x.png")
        return [int(answer) for answer in answers]

    def record(self, index: int, written: Any) -> ImageResult:
        self.recorded.append((index, written))
        return ImageResult(self.names[index], len(written), None)

    def finish(self) -> Path:
        return Path("results")

    def cancel(self) -> None:
        """Nothing is incomplete."""


def run(predictor: Counted, batch_size: int, num_networks: int = 1) -> tuple[list[int], list[ImageResult]]:
    """Return the sizes of the batches, and the results in the order in which they were shown."""
    sizes: list[int] = []
    shown: list[ImageResult] = []

    def network(batch: Tensors) -> torch.Tensor:
        sizes.append(len(batch["x_N"]))
        return batch["x_N"] * 2

    def show(result: ImageResult, number: int, count: int) -> None:
        assert (number, count) == (len(shown) + 1, len(predictor.names))
        shown.append(result)

    pipeline = Pipeline(predictor, network, batch_size=batch_size, on_image=show, num_networks=num_networks)
    pipeline.run()
    assert shown == pipeline.results
    return sizes, shown


def show_nothing(result: ImageResult, number: int, count: int) -> None:
    """Ignore a finished image."""


@pytest.mark.parametrize("batch_size", [1, 3, 4, 100])
def test_every_sample_is_answered_once_in_full_batches_and_images_stay_in_order(batch_size: int) -> None:
    counts = [2, 0, 5, -1, 1, 9, 3]
    predictor = Counted(counts)
    sizes, shown = run(predictor, batch_size)
    usable = [index for index, count in enumerate(counts) if count >= 0]
    assert predictor.recorded == [(i, [2 * (1000 * i + place) for place in range(counts[i])]) for i in usable]
    assert [result.name for result in shown] == list(predictor.names)
    assert [result.problems for result in shown if result.problems] == [("broken",)]
    assert sum(sizes) == 20 and all(size == batch_size for size in sizes[:-1])


def test_threads_divide_a_batch_and_the_rest_at_the_end() -> None:
    predictor = Counted([1, 8, -1, 2, 12])
    sizes, shown = run(predictor, 12, num_networks=3)
    assert sorted(sizes) == [1] * 3 + [4] * 5 and [result.num_masks for result in shown] == [1, 8, 0, 2, 12]
    assert dict(predictor.recorded)[4] == [2 * (4000 + place) for place in range(12)]
    assert run(Counted([1, 1]), 1, num_networks=3)[0] == [1, 1], "a batch of one has no parts"


def test_networks_compute_at_the_same_time_and_a_fault_of_one_ends_the_prediction() -> None:
    both = threading.Barrier(2, timeout=10)
    predictor = Counted([1, 1])

    def network(batch: Tensors) -> torch.Tensor:
        both.wait()
        raise RuntimeError(f"of {batch['x_N'].tolist()}")

    pipeline = Pipeline(predictor, network, batch_size=2, on_image=show_nothing, num_networks=2)
    with pytest.raises(RuntimeError, match="of"):
        pipeline.run()
    assert not predictor.recorded


@pytest.fixture
def interrupted() -> Iterator[threading.Event]:
    """Let the first SIGINT raise KeyboardInterrupt, as Ctrl+C does, and yield what tells that it was raised."""
    raised = threading.Event()

    def interrupt(number: int, frame: object) -> None:
        if not raised.is_set():
            raised.set()
            raise KeyboardInterrupt

    former = signal.signal(signal.SIGINT, interrupt)
    yield raised
    signal.signal(signal.SIGINT, former)


def test_an_interrupted_prediction_computes_nothing_more(interrupted: threading.Event) -> None:
    sizes: list[int] = []

    def network(batch: Tensors) -> torch.Tensor:
        sizes.append(len(batch["x_N"]))
        while not interrupted.is_set():  # Python sleeps through a signal that comes as it begins to wait for a lock
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            interrupted.wait(0.05)
        for thread in threading.enumerate():
            if thread.name.startswith("predict_read"):
                thread.join(10)  # until the interruption has ended it
        return batch["x_N"]

    pipeline = Pipeline(Counted([1] * 40), network, batch_size=1, on_image=show_nothing)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run()
    assert sizes == [1] and pipeline.results == []


@pytest.mark.parametrize("num_networks", [1, 4])
def test_the_number_of_images_in_memory_does_not_grow_with_their_number(num_networks: int) -> None:
    few, many = Counted([1] * 60), Counted([1] * 600)
    run(few, 1000, num_networks)
    run(many, 1000, num_networks)
    assert many.most_read <= 100 and many.most_read < 3 * max(few.most_read, 20)


def test_a_file_that_cannot_be_written_ends_the_prediction() -> None:
    with pytest.raises(OSError, match="No space left"):
        run(Counted([1, 1, 1], refuses=True), 2)


def test_no_readable_image_is_no_fault_of_the_network() -> None:
    sizes, shown = run(Counted([-1, -1]), 4)
    assert sizes == [] and [result.problems for result in shown] == [("broken",), ("broken",)]


@pytest.mark.parametrize("change", [-1, 1])
def test_other_answers_than_samples_are_one_sentence(monkeypatch: pytest.MonkeyPatch, change: int) -> None:
    """Without it all images after the first missing answer were left out, or got those of others."""
    predictor = Counted([2, 1])
    monkeypatch.setattr(predictor, "answers", lambda outputs: [0] * (len(outputs) + change))  # pyright: ignore
    pipeline = Pipeline(predictor, lambda batch: batch["x_N"], batch_size=4, on_image=lambda *_: None)
    with pytest.raises(UserError, match=rf"answers\(\) returns {3 + change} answers for 3 samples"):
        pipeline.run()
