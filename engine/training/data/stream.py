"""The endless stream of training batches: prefetched, resumable at every position, the same whoever assembles it."""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from functools import partial
from typing import Any, Final

from engine.task import DataGoneError, Rejection, Samples, draws_random_numbers
from engine.training.data.batch import Batch, Position
from engine.training.data.spans import Span, assemble, span_at
from engine.training.data.threads import Crew
from engine.training.data.workers import WorkerPool

_START: Final = Position()
_AHEAD: Final = 2
"""Batches kept ready or in the making for each assembler, beside the one that is asked for."""
_TURN: Final = 0.05
"""Seconds of waiting between looks at whether it has become pointless."""
_SECONDS_TO_CLOSE: Final = 3.0


class BatchStream:
    """Batches from `position` on, over epoch after epoch; the last batch of an epoch may be smaller.

    With `num_workers` 0, or where the samples cannot be sent to a process, a thread assembles them, or the calling
    thread where they draw from the global generators; else so many processes that live as long as the stream.
    torch's global generator is neither read nor moved. Not for several threads at once.
    Who is at one batch for `timeout_seconds` is taken for stuck: `take_complaints` says so; a process is replaced.
    """

    def __init__(
        self,
        dataset: Samples,
        *,
        batch_size: int,
        position: Position = _START,
        num_workers: int = 0,
        timeout_seconds: float = 120.0,
    ) -> None:
        self._length = len(dataset)
        if self._length == 0:
            raise ValueError("a stream needs at least one sample")
        if num_workers and not _can_travel(dataset):
            num_workers = 0
        self._is_inline = num_workers == 0 and draws_random_numbers(dataset)
        self._pool = WorkerPool(dataset, num_workers) if num_workers else None
        self._assemble: Callable[[Span], Batch] = self._pool.assemble if self._pool else partial(assemble, dataset)
        self._num_ahead = 1 if self._is_inline else 1 + _AHEAD * max(num_workers, 1)
        self._crew: Crew[Batch] = Crew(max(num_workers, 1), "data")
        self._timeout = timeout_seconds
        self._waited = 0.0
        self._complaints: list[str] = []
        self._pending: deque[Future[Batch]] = deque()
        self._reported: set[Rejection] = set()
        self.reseat(position, batch_size)

    def next(self) -> Batch:
        """The next batch; blocks until it is there and raises what went wrong in making it."""
        self.wait(lambda: False)
        began = time.perf_counter()
        batch = self._pending.popleft().result()
        self._waited += time.perf_counter() - began if self._is_inline else 0.0
        batch.wait_seconds, self._waited = self._waited, 0.0
        batch.rejections = self._unreported(batch.rejections)
        self._fill()
        return batch

    def wait(self, give_up: Callable[[], bool]) -> bool:
        """Wait until `next` would give a batch at once; False where `give_up` became true before.

        Raises DataGoneError where not even a second worker gives anything.
        """
        if not self._pending:
            raise RuntimeError("the stream is closed")
        while not self.is_ready():
            if give_up():
                return False
            began = time.perf_counter()
            wait_for([self._pending[0]], timeout=_TURN)
            self._waited += time.perf_counter() - began
            self._watch()
        return True

    def take_complaints(self) -> list[str]:
        """Who was taken for stuck since the last call."""
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
        """Whether `next` would give a batch at once."""
        return bool(self._pending) and self._pending[0].done()

    def reseat(self, position: Position, batch_size: int) -> None:
        """Go on from `position` with batches of `batch_size`; what was prefetched is dropped."""
        if batch_size < 1:
            raise ValueError(f"a batch holds at least one sample, not {batch_size}")
        while self._pending:
            self._pending.pop().cancel()
        self._waited = 0.0
        self._ahead, self.batch_size = position, batch_size
        self._fill()

    def close(self) -> None:
        """End every thread and worker process of the stream; the stream gives nothing more."""
        while self._pending:
            self._pending.pop().cancel()
        if self._pool:
            self._pool.close()
        self._crew.close(_SECONDS_TO_CLOSE)

    @property
    def worker_ids(self) -> tuple[int, ...]:
        """The process ids of the workers that run now."""
        return self._pool.process_ids if self._pool else ()

    def _fill(self) -> None:
        while len(self._pending) < self._num_ahead:
            span = span_at(self._ahead, batch_size=self.batch_size, length=self._length)
            self._ahead = span.after
            self._pending.append(self._submit(span))

    def _submit(self, span: Span) -> Future[Batch]:
        if not self._is_inline:
            return self._crew.submit(self._assemble, span)
        return _Deferred(partial(self._assemble, span))

    def _unreported(self, rejections: Iterable[Rejection]) -> tuple[Rejection, ...]:
        """Those that no batch of this stream has carried before."""
        fresh = tuple(rejection for rejection in dict.fromkeys(rejections) if rejection not in self._reported)
        self._reported.update(fresh)
        return fresh


class _Deferred(Future[Batch]):
    """A batch that is assembled when it is asked for, by the thread that asks."""

    def __init__(self, assemble: Callable[[], Batch]) -> None:
        super().__init__()
        self._make = assemble

    def done(self) -> bool:
        """Return True: to wait for the batch would not make it."""
        return True

    def result(self, timeout: float | None = None) -> Batch:
        """Assemble the batch; raises what went wrong in making it."""
        return self._make()


class _Nowhere:
    """A file that keeps nothing: a large data set is not copied to see whether it can be sent."""

    def write(self, data: Any) -> int:
        return len(data)


def _can_travel(samples: Samples) -> bool:
    """Return whether the samples can be sent to a worker process."""
    try:
        pickle.Pickler(_Nowhere(), protocol=5).dump(samples)
    except Exception:  # pickle raises whatever an object's own methods raise
        return False
    return True
