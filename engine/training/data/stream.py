"""The endless stream of training batches: prefetched, resumable at every position, independent of the workers."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import replace
from functools import partial
from typing import Final

from engine.task import DataGoneError, Rejection, Samples, draws_random_numbers
from engine.training.data.batch import Batch, Position
from engine.training.data.spans import Shard, Span, assemble, span_at
from engine.training.data.threads import Crew
from engine.training.data.worker_process import can_travel
from engine.training.data.workers import WorkerPool

_START: Final = Position()
_AHEAD: Final = 2
"""Prefetched batches per worker, in addition to the requested one."""
_TURN: Final = 0.05
"""Seconds between checks of `give_up` while waiting."""
_SECONDS_TO_CLOSE: Final = 3.0


class BatchStream:
    """Batches from `position` on, over all epochs; the last batch of an epoch may be smaller.

    Batches are assembled by `num_workers` processes, which live as long as the stream. With `num_workers` 0, or if the
    samples cannot be pickled, a thread assembles them; the calling thread does if they draw from the global generators.

    torch's global generator is neither read nor changed. The stream is not thread-safe. A worker busy with one batch
    for `timeout_seconds` counts as stuck: `take_complaints` reports it, and a process is replaced. With a `shard`,
    only its part of the samples is assembled; positions and sizes remain those of all ranks.
    """

    def __init__(
        self,
        dataset: Samples,
        *,
        batch_size: int,
        position: Position = _START,
        num_workers: int = 0,
        timeout_seconds: float = 120.0,
        shard: Shard | None = None,
    ) -> None:
        self._length, self._shard = len(dataset), shard
        if self._length == 0:
            raise ValueError("a stream needs at least one sample")
        if num_workers and not can_travel(dataset):
            num_workers = 0
        self._is_inline = num_workers == 0 and draws_random_numbers(dataset)
        self._pool = WorkerPool(dataset, num_workers) if num_workers else None
        self._assemble: Callable[[Span], Batch] = self._pool.assemble if self._pool else partial(assemble, dataset)
        self._num_ahead = 1 if self._is_inline else 1 + _AHEAD * max(num_workers, 1)
        self._crew: Crew[Batch] = Crew(max(num_workers, 1), "data")
        self._timeout = timeout_seconds
        self._waited = 0.0
        self._complaints: list[str] = []
        self._pending: deque[tuple[Span, Future[Batch]]] = deque()
        self._failed: Span | None = None
        self._reported: set[Rejection] = set()
        self.reseat(position, batch_size)

    def next(self) -> Batch:
        """Return the next batch. Blocks until it is ready, and raises the error of assembling it."""
        self.wait(lambda: False)
        began = time.perf_counter()
        self._failed, assembled = self._pending.popleft()
        batch = assembled.result()
        self._failed = None
        self._waited += time.perf_counter() - began if self._is_inline else 0.0
        batch.wait_seconds, self._waited = self._waited, 0.0
        batch.rejections = self._unreported(batch.rejections)
        self._fill()
        return batch

    def part_of_failed(self, first: int, most: int) -> Batch:
        """Assemble at most `most` samples, from number `first` (from 0) on, of the batch that `next` failed to return.

        Prefetched batches are discarded, so that they need no memory. With the last of its samples the stream goes on.
        """
        span = self._failed
        if span is None:
            raise RuntimeError("the last batch was assembled")
        self._discard()
        start = span.start + first
        stop = min(start + most, span.stop)
        is_last = stop == span.stop
        batch = self._submit(replace(span, start=start, stop=stop, ends_epoch=span.ends_epoch and is_last)).result()
        batch.rejections = self._unreported(batch.rejections)
        if is_last:
            self.reseat(span.after, self.batch_size)
        return batch

    @property
    def num_failed(self) -> int:
        """The number of samples of the batch that `next` failed to return, 0 for none."""
        return 0 if self._failed is None else self._failed.stop - self._failed.start

    def wait(self, give_up: Callable[[], bool]) -> bool:
        """Wait until `next` would not block; return False if `give_up` returned True first.

        Raises DataGoneError if a replacement worker also yields nothing, RuntimeError after `close`.
        """
        if not self._pending:
            raise RuntimeError("the stream is closed")
        while not self.is_ready():
            if give_up():
                return False
            began = time.perf_counter()
            wait_for([self._pending[0][1]], timeout=_TURN)
            self._waited += time.perf_counter() - began
            self._watch()
        return True

    def take_complaints(self) -> list[str]:
        """Return messages about workers found stuck since the last call."""
        taken, self._complaints = self._complaints, []
        return taken

    def _watch(self) -> None:
        if self._waited <= self._timeout:
            return
        if self._pool:
            self._complaints += self._pool.end_stuck(self._timeout)
        if self._waited > (2 * self._timeout + 1 if self._pool else self._timeout):
            raise DataGoneError(f"reading has given nothing for {self._waited:.0f} s")

    def is_ready(self) -> bool:
        """Return whether `next` would not block."""
        return bool(self._pending) and self._pending[0][1].done()

    def reseat(self, position: Position, batch_size: int) -> None:
        """Continue from `position` with batches of `batch_size` (1 or more), and discard prefetched batches."""
        if batch_size < 1:
            raise ValueError(f"a batch holds at least one sample, not {batch_size}")
        self._discard()
        self._waited, self._failed = 0.0, None
        self._ahead, self.batch_size = position, batch_size
        self._fill()

    def close(self) -> None:
        """End every thread and worker process. The stream cannot be used afterwards."""
        self._discard()
        if self._pool:
            self._pool.close()
        self._crew.close(_SECONDS_TO_CLOSE)

    @property
    def worker_ids(self) -> tuple[int, ...]:
        """Process ids of the running workers."""
        return self._pool.process_ids if self._pool else ()

    def _discard(self) -> None:
        while self._pending:
            self._pending.pop()[1].cancel()

    def _fill(self) -> None:
        while len(self._pending) < self._num_ahead:
            span = self._span_ahead()
            while self._shard is not None and self._shard.by_batch and not self._is_own(span, self._shard):
                span = self._span_ahead()
            self._pending.append((span, self._submit(span)))

    def _span_ahead(self) -> Span:
        span = span_at(self._ahead, batch_size=self.batch_size, length=self._length)
        self._ahead = span.after
        return span if self._shard is None else replace(span, shard=self._shard)

    def _is_own(self, span: Span, shard: Shard) -> bool:
        return shard.has(span, batch_size=self.batch_size, length=self._length)

    def _submit(self, span: Span) -> Future[Batch]:
        if not self._is_inline:
            return self._crew.submit(self._assemble, span)
        return _Deferred(partial(self._assemble, span))

    def _unreported(self, rejections: Iterable[Rejection]) -> tuple[Rejection, ...]:
        """Return the rejections that no earlier batch of this stream has carried."""
        fresh = tuple(rejection for rejection in dict.fromkeys(rejections) if rejection not in self._reported)
        self._reported.update(fresh)
        return fresh


class _Deferred(Future[Batch]):
    """A batch that is assembled in the thread that requests it."""

    def __init__(self, assemble: Callable[[], Batch]) -> None:
        super().__init__()
        self._make = assemble

    def done(self) -> bool:
        """Return True: waiting would not make progress."""
        return True

    def result(self, timeout: float | None = None) -> Batch:
        """Return the assembled batch. Raises the error of assembling it."""
        return self._make()
