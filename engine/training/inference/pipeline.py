"""Run a predictor: threads read images, compute batches that span images, and write, all at the same time."""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Final

from engine.errors import UserError
from engine.outputs.inference.prediction import ImageResult, OnImage
from engine.task import Predictor, Tensors, UnusableSample
from engine.training.data.threads import Crew
from engine.training.inference.shares import Image, Share, is_answered, is_open, is_written, joined

_MOST_THREADS: Final = 8
_AHEAD: Final = 2
"""Images in memory per thread, on either side of the network."""
_MOST_WAITING: Final = 32
"""Images in the batches that are computed or queued; with more, smaller batches are computed."""
_GRACE: Final = 5.0
"""Seconds in which a busy thread may end."""
_TURN: Final = 0.0005
"""Seconds after which a thread of Python gives way. The network's threads ask before each operation."""


class Pipeline:
    """One pass over the images of a predictor. `network` computes the outputs of a batch.

    At most `batch_size` samples are computed at a time, divided among `num_networks` threads that call `network`. The
    number of images in memory is bounded by the number of threads.
    """

    def __init__(
        self,
        predictor: Predictor,
        network: Callable[[Tensors], Any],
        *,
        batch_size: int,
        on_image: OnImage,
        num_networks: int = 1,
    ) -> None:
        self._predictor = predictor
        self._network = network
        self._num_networks = max(1, min(num_networks, batch_size))
        self._batch_size = math.ceil(batch_size / self._num_networks)
        self._most_waiting = max(1, _MOST_WAITING // (self._num_networks + 1))
        self._on_image = on_image
        num_threads = min(os.cpu_count() or 1, _MOST_THREADS)
        self._most = _AHEAD * num_threads
        self._readers: Crew[Image] = Crew(num_threads, "predict_read")
        self._networks: Crew[list[Any]] = Crew(self._num_networks, "predict_network")
        self._writers: Crew[Any] = Crew(num_threads, "predict_write")
        self._waiting: deque[Image] = deque()
        self._computing: deque[tuple[Future[list[Any]], list[Share]]] = deque()
        self._writing: deque[Image] = deque()
        self._num_waiting = 0
        self._is_cancelled = False
        self._seconds: deque[float] = deque()
        self.results: list[ImageResult] = []

    @property
    def network_seconds(self) -> float:
        """Return the time of the network alone, if its threads share the work evenly."""
        return sum(self._seconds) / self._num_networks

    def run(self) -> None:
        """Predict all images. Raises OSError if a file cannot be written."""
        names = self._predictor.names
        reading: deque[Future[Image]] = deque()
        try:
            with _short_turns():
                for index in range(len(names) + self._most):
                    if index < len(names):
                        reading.append(self._readers.submit(self._read, index))
                    if reading and index + 1 >= self._most:
                        self._take(reading.popleft().result())
                self._finish()
        finally:
            self._is_cancelled = True
            for crew in (self._readers, self._networks, self._writers):
                crew.close(_GRACE)

    def _read(self, index: int) -> Image:
        try:
            return Image(index, self._predictor.read(index))
        except UnusableSample as error:
            return Image(index, None, problem=str(error))

    def _take(self, image: Image) -> None:
        """Queue an image for the network, and every batch that is full."""
        self._waiting.append(image)
        self._num_waiting += image.prepared.count if image.prepared else 0
        while self._num_waiting >= self._batch_size or self._is_crowded():
            self._submit(self._batch_size)
        while self._computing and self._computing[0][0].done():
            self._collect()
        self._pass_on()

    def _is_crowded(self) -> bool:
        """Return whether too many images wait for a batch to be full."""
        return self._num_waiting > 0 and sum(not image.num_asked for image in self._waiting) > self._most_waiting

    def _finish(self) -> None:
        """Compute the rest in equal parts, and write what is left."""
        part = math.ceil(self._num_waiting / self._num_networks)
        while self._num_waiting:
            self._submit(part)
        while self._computing:
            self._collect()
            self._pass_on()
        self._pass_on()
        while self._writing:
            self._record()

    def _submit(self, free: int) -> None:
        """Queue a batch of `free` samples from the images in front. Waits for the oldest batch if enough are queued."""
        shares = self._shares(free)
        self._num_waiting -= sum(share.stop - share.start for share in shares)
        if len(self._computing) > self._num_networks:
            self._collect()
            self._pass_on()
        self._computing.append((self._networks.submit(self._compute, shares), shares))

    def _shares(self, free: int) -> list[Share]:
        """Return the samples of a batch with room for `free`, by image, and note that they are asked for."""
        shares: list[Share] = []
        for image in self._waiting:
            if not free:
                break
            if image.prepared is not None and is_open(image):
                start, image.num_asked = image.num_asked, min(image.prepared.count, image.num_asked + free)
                free -= image.num_asked - start
                shares.append(Share(image, image.prepared, start, image.num_asked))
        return shares

    def _compute(self, shares: Sequence[Share]) -> list[Any]:
        """Return the answers of a batch, in a thread. Raises UserError unless there is one for each sample."""
        if self._is_cancelled:
            return []
        began = time.perf_counter()
        answers = list(self._predictor.answers(self._network(joined(shares))))
        self._seconds.append(time.perf_counter() - began)
        if len(answers) != (count := sum(share.stop - share.start for share in shares)):
            raise UserError(
                f"the predictor's answers() returns {len(answers)} answers for {count} samples: return one for each "
                "sample that read() counts"
            )
        return answers

    def _collect(self) -> None:
        """Wait for the oldest batch, and give each image its answers."""
        future, shares = self._computing.popleft()
        answers, place = future.result(), 0
        for share in shares:
            share.image.answers += answers[place : place + share.stop - share.start]
            place += share.stop - share.start

    def _pass_on(self) -> None:
        """Hand the images with all answers to the writers, in order, and record those that are written."""
        while self._waiting and is_answered(self._waiting[0]):
            image = self._waiting.popleft()
            if image.prepared is not None:
                image.written = self._writers.submit(self._predictor.write, image.index, image.prepared, image.answers)
                image.prepared = None
            self._writing.append(image)
        while self._writing and (len(self._writing) > self._most or is_written(self._writing[0])):
            self._record()

    def _record(self) -> None:
        image = self._writing.popleft()
        if image.written is None:
            result = ImageResult(self._predictor.names[image.index], 0, None, (image.problem,))
        else:
            result = self._predictor.record(image.index, image.written.result())
        self.results.append(result)
        self._on_image(result, len(self.results), len(self._predictor.names))


@contextmanager
def _short_turns() -> Generator[None]:
    """Let threads of Python take short turns in the block. By default one may keep the network waiting for 5 ms."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, _TURN))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
