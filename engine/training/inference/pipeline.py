"""Run a predictor: threads read and write images while the network computes batches that span images."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

import torch

from engine.outputs.inference.prediction import ImageResult, OnImage
from engine.task import Predictor, Prepared, Tensors, UnusableSample
from engine.training.data.threads import Crew

_MOST_THREADS: Final = 8
_AHEAD: Final = 2
"""Images in memory per thread, on either side of the network."""
_MOST_WAITING: Final = 16
"""Images that wait until a batch is full; with more, a smaller batch is computed."""
_GRACE: Final = 5.0
"""Seconds in which a busy thread may end."""


@dataclass(slots=True)
class _Image:
    """An image on its way: its samples, and the answers so far. `prepared` is `None` if it could not be read."""

    index: int
    prepared: Prepared | None
    problem: str = ""
    answers: list[Any] = field(default_factory=list[Any])
    written: Future[Any] | None = None


class Pipeline:
    """One pass over the images of a predictor. `network` computes the outputs of a batch.

    The number of images in memory is bounded by the number of threads.
    """

    def __init__(
        self, predictor: Predictor, network: Callable[[Tensors], Any], *, batch_size: int, on_image: OnImage
    ) -> None:
        self._predictor = predictor
        self._network = network
        self._batch_size = batch_size
        self._on_image = on_image
        num_threads = min(os.cpu_count() or 1, _MOST_THREADS)
        self._most = _AHEAD * num_threads
        self._readers: Crew[_Image] = Crew(num_threads, "predict_read")
        self._writers: Crew[Any] = Crew(num_threads, "predict_write")
        self._waiting: deque[_Image] = deque()
        self._num_waiting = 0
        self._writing: deque[_Image] = deque()
        self.network_seconds = 0.0
        self.results: list[ImageResult] = []

    def run(self) -> None:
        """Predict all images. Raises OSError if a file cannot be written."""
        names = self._predictor.names
        reading: deque[Future[_Image]] = deque()
        try:
            for index in range(len(names) + self._most):
                if index < len(names):
                    reading.append(self._readers.submit(self._read, index))
                if reading and index + 1 >= self._most:
                    self._take(reading.popleft().result())
            while self._waiting:
                self._compute()
            while self._writing:
                self._record()
        finally:
            self._readers.close(_GRACE)
            self._writers.close(_GRACE)

    def _read(self, index: int) -> _Image:
        try:
            return _Image(index, self._predictor.read(index))
        except UnusableSample as error:
            return _Image(index, None, problem=str(error))

    def _take(self, image: _Image) -> None:
        """Queue an image for the network, and compute every batch that is full."""
        self._waiting.append(image)
        self._num_waiting += image.prepared.count if image.prepared else 0
        while self._num_waiting >= self._batch_size or len(self._waiting) > _MOST_WAITING:
            self._compute()
        self._pass_on()

    def _compute(self) -> None:
        """Compute the next batch from the images in front, and give each its answers."""
        parts: list[tuple[_Image, Prepared, int, int]] = []
        free = self._batch_size
        for image in self._waiting:
            if image.prepared is None or not free:
                continue
            start = len(image.answers)
            stop = min(image.prepared.count, start + free)
            if stop > start:
                parts.append((image, image.prepared, start, stop))
                free -= stop - start
        if parts:
            began = time.perf_counter()
            answers = self._predictor.answers(self._network(_joined(parts)))
            self.network_seconds += time.perf_counter() - began
            place = 0
            for image, _, start, stop in parts:
                image.answers += list(answers[place : place + stop - start])
                place += stop - start
            self._num_waiting -= place
        self._pass_on()

    def _pass_on(self) -> None:
        """Hand the images with all answers to the writers, in order, and record those that are written."""
        while self._waiting and _is_answered(self._waiting[0]):
            image = self._waiting.popleft()
            if image.prepared is not None:
                image.written = self._writers.submit(self._predictor.write, image.index, image.prepared, image.answers)
                image.prepared = None
            self._writing.append(image)
        while self._writing and (len(self._writing) > self._most or _is_written(self._writing[0])):
            self._record()

    def _record(self) -> None:
        image = self._writing.popleft()
        if image.written is None:
            result = ImageResult(self._predictor.names[image.index], 0, None, (image.problem,))
        else:
            result = self._predictor.record(image.index, image.written.result())
        self.results.append(result)
        self._on_image(result, len(self.results), len(self._predictor.names))


def _is_answered(image: _Image) -> bool:
    return image.prepared is None or len(image.answers) == image.prepared.count


def _is_written(image: _Image) -> bool:
    return image.written is None or image.written.done()


def _joined(parts: Sequence[tuple[_Image, Prepared, int, int]]) -> Tensors:
    """Return the rows of several images as one batch."""
    names = parts[0][1].tensors
    slices = {name: [prepared.tensors[name][start:stop] for _, prepared, start, stop in parts] for name in names}
    return {name: rows[0] if len(rows) == 1 else torch.cat(rows) for name, rows in slices.items()}
