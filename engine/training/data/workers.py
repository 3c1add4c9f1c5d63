"""Worker processes that assemble batches. A dead worker is replaced, and its batch assembled again to equal bits."""

from __future__ import annotations

import queue
import time
from contextlib import suppress
from typing import Final

import psutil

from engine.errors import UserError
from engine.task import Samples, sample_id_at
from engine.training.data.batch import Batch
from engine.training.data.spans import Span
from engine.training.data.worker_process import PATIENCE, Worker
from engine.training.data.worker_program import Failed, Packed

MAX_DEATHS: Final = 5
"""Maximum consecutive worker deaths on one batch before an error is raised."""

_NAMED: Final = 8
"""Samples of a batch that an error names at most."""

_SECONDS_TO_CLOSE: Final = 3.0


class WorkerPool:
    """`num_workers` processes; as many threads may call `assemble` concurrently.

    Workers start from a fork server, or are spawned if the platform has none. They inherit no locks, threads or open
    files, and end when this process ends.
    """

    def __init__(self, samples: Samples, num_workers: int) -> None:
        self._samples = samples
        self._workers = [Worker(samples) for _ in range(num_workers)]
        self._idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
        self._is_closed = False
        for worker in self._workers:
            self._idle.put(worker)

    def assemble(self, span: Span) -> Batch:
        """Return the batch of a span.

        Raises the dataset's exceptions, and UserError if several workers in a row die on it.
        """
        worker = self._idle.get()
        try:
            return self._assemble(worker, span)
        finally:
            self._idle.put(worker)

    def end_stuck(self, seconds: float) -> list[str]:
        """End each worker that has been busy with one batch for `seconds`, so that another replaces it.

        Return messages that name them.
        """
        stuck = [worker for worker in self._workers if worker.busy_seconds > seconds and not worker.is_ended]
        for worker in stuck:
            worker.kill()
        return [
            f"data worker {worker.process_id} has given nothing for {worker.busy_seconds:.0f} s" for worker in stuck
        ]

    def close(self) -> None:
        """End every worker, also busy or stuck ones. Waiting callers get a RuntimeError.

        A worker that waits for a disk survives SIGKILL; after 3 s it is abandoned.
        """
        self._is_closed = True
        deadline = time.monotonic() + _SECONDS_TO_CLOSE
        num_stopped = 0
        while num_stopped < len(self._workers) and time.monotonic() < deadline:
            for worker in self._workers:
                worker.kill()
            with suppress(queue.Empty):
                self._idle.get(timeout=PATIENCE).stop()
                num_stopped += 1
        if num_stopped < len(self._workers):
            _wake_helpers()

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Process ids of the running workers."""
        return tuple(pid for worker in self._workers if (pid := worker.process_id) is not None)

    def _assemble(self, worker: Worker, span: Span) -> Batch:
        deaths: list[str] = []
        while len(deaths) < MAX_DEATHS:
            answer = self._answer(worker, span, deaths)
            if answer is not None:
                return answer.unpack()
        raise UserError(
            f"{MAX_DEATHS} data workers died one after the other ({', '.join(dict.fromkeys(deaths))}) on the batch of "
            f"{_samples_of(self._samples, span)}: check these, or set data.num_workers to 0"
        )

    def _answer(self, worker: Worker, span: Span, deaths: list[str]) -> Packed | Failed | None:
        """Return the answer of a worker; `None` if it died, whose cause is added to `deaths`."""
        try:
            return worker.answer(span)
        except (EOFError, OSError) as error:
            if self._is_closed:
                raise RuntimeError("the data workers were closed") from error
            deaths.append(worker.cause_of_death(error))
            worker.stop()
            return None


def _samples_of(samples: Samples, span: Span) -> str:
    """Return the names of a batch's samples, of many the first ones and how many others there are, or its places."""
    names = dict.fromkeys(sample_id_at(samples, span.epoch, index) for index in span.own)
    ids = [name for name in names if name]
    if not ids:
        return f"the samples {span.own.start} to {span.own.stop - 1} of epoch {span.epoch}"
    return ", ".join(ids[:_NAMED]) + (f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else "")


def _wake_helpers() -> None:
    """Continue multiprocessing's helper processes if they are stopped: Python waits for them at exit."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            child.resume()
