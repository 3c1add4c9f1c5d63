"""Worker processes that assemble batches. A dead worker is replaced, and its batch assembled again to equal bits."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import pickle
import queue
import signal
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final, cast

import psutil
import torch

from engine.errors import UserError
from engine.protocol.record import record
from engine.task import Samples, sample_id_at
from engine.training.data.batch import Batch
from engine.training.data.spans import Span, assemble

MAX_DEATHS: Final = 5
"""Maximum consecutive worker deaths on one batch before an error is raised."""

_NAMED: Final = 8
"""Samples of a batch that an error names at most."""

_PRELOADED: Final = ["torch", "scipy.ndimage", "PIL.Image", "pycocotools.mask"]
_PATIENCE: Final = 0.2
"""Seconds between checks of the stop condition while waiting."""
_SECONDS_TO_CLOSE: Final = 3.0


class WorkerPool:
    """`num_workers` processes; as many threads may call `assemble` concurrently.

    Workers start from a fork server, or are spawned if the platform has none. They inherit no locks, threads or open
    files, and end when this process ends.
    """

    def __init__(self, samples: Samples, num_workers: int) -> None:
        self._samples = samples
        self._workers = [_Worker(samples) for _ in range(num_workers)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
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
                self._idle.get(timeout=_PATIENCE).stop()
                num_stopped += 1
        if num_stopped < len(self._workers):
            _wake_helpers()

    @property
    def process_ids(self) -> tuple[int, ...]:
        """Process ids of the running workers."""
        return tuple(pid for worker in self._workers if (pid := worker.process_id) is not None)

    def _assemble(self, worker: _Worker, span: Span) -> Batch:
        deaths: list[str] = []
        while len(deaths) < MAX_DEATHS:
            try:
                answer = worker.answer(span)
            except (EOFError, OSError) as error:
                if self._is_closed:
                    raise RuntimeError("the data workers were closed") from error
                deaths.append(worker.cause_of_death(error))
                worker.stop()
                continue
            return answer.unpack()
        raise UserError(
            f"{MAX_DEATHS} data workers died one after the other ({', '.join(dict.fromkeys(deaths))}) on the batch of "
            f"{_samples_of(self._samples, span)}: check these, or set data.num_workers to 0"
        )


def _samples_of(samples: Samples, span: Span) -> str:
    """Return the names of a batch's samples, of many the first ones and how many others there are, or its places."""
    names = dict.fromkeys(sample_id_at(samples, span.epoch, index) for index in span.own)
    ids = [name for name in names if name]
    if not ids:
        return f"the samples {span.own.start} to {span.own.stop - 1} of epoch {span.epoch}"
    return ", ".join(ids[:_NAMED]) + (f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else "")


class _Worker:
    """One process, started when it is first needed, and its pipe. Used by one thread at a time."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._busy_since: float | None = None
        self.is_ended = False
        """Whether the process was killed; a new one is started for the next span."""

    @property
    def busy_seconds(self) -> float:
        """Seconds spent on the current batch; 0 without one."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def process_id(self) -> int | None:
        process = self._process
        return process.pid if process is not None else None

    def answer(self, span: Span) -> _Packed | _Failed:
        """Send a span to the process and return its batch.

        Raises EOFError or OSError if the process has died or was ended.
        """
        pipe = self._pipe or self._start()
        self._busy_since = time.monotonic()
        try:
            pipe.send(span)
            while not pipe.poll(_PATIENCE):
                if self.is_ended:
                    raise EOFError
            return cast("_Packed | _Failed", pickle.loads(pipe.recv_bytes()))
        finally:
            self._busy_since = None

    def kill(self) -> None:
        """Kill the process without waiting. Any thread may call this."""
        process = self._process
        if process is not None:
            process.kill()
            self.is_ended = True

    def cause_of_death(self, error: Exception) -> str:
        """Return how the process ended: its exit code, the name of a signal, or why it could not be started."""
        if self._process is None:
            return f"not started: {error}"
        self._process.join(_PATIENCE)
        code = self._process.exitcode
        if self.is_ended or code is None:
            return "ended because it gave nothing"
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        return f"{name}, perhaps for want of memory" if -code == signal.SIGKILL else name

    def stop(self) -> None:
        """End the process and discard it, dead or alive. The next span starts another."""
        if self._process is not None:
            self._process.kill()
            self._process.join(_PATIENCE)
            if self._process.is_alive():
                _forget(self._process)
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _start(self) -> Connection:
        context = _context()
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._samples), name="data-worker", daemon=True)
        with _hang_ups_blocked():
            process.start()
        self._process, self._pipe, self.is_ended = process, ours, False
        theirs.close()
        return ours


@record
class _Packed:
    """A batch with arrays instead of tensors, which makes pickling several times faster."""

    fields: dict[str, Any]

    def unpack(self) -> Batch:
        """Return the batch."""
        tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in self.fields["tensors"].items()}
        return Batch(tensors=tensors, **{name: value for name, value in self.fields.items() if name != "tensors"})


@record
class _Failed:
    """An exception from a worker."""

    error: Exception

    def unpack(self) -> Batch:
        """Raise the exception."""
        raise self.error


def _forget(process: BaseProcess) -> None:
    """Prevent Python from waiting at exit for a process that survived SIGKILL because it waits for a disk."""
    children: set[BaseProcess] = getattr(multiprocessing.process, "_children", set())
    children.discard(process)


def _wake_helpers() -> None:
    """Continue multiprocessing's helper processes if they are stopped: Python waits for them at exit."""
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            child.resume()


def _context() -> Any:
    """Return the multiprocessing context. Its class differs by platform, hence `Any`."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    return context


@contextmanager
def _hang_ups_blocked() -> Generator[None]:
    """Block SIGHUP in processes that are started in this context, the fork server too.

    A terminal that is closed sends it to all of its foreground, and the engine may be set to go on.
    """
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, samples: Samples) -> None:
    """Receive spans and send batches until the other end closes. Interrupts and hang-ups are left to the engine.

    So are the signals of schedulers, which send them to every process of a job.
    """
    for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    torch.set_num_threads(1)
    while True:
        try:
            span = cast(Span, pipe.recv())
            pipe.send_bytes(_answer(samples, span))
        except (EOFError, OSError):
            return


def _failed(error: Exception) -> bytes:
    """Return `error` pickled, with its traceback as a note; if it cannot be pickled, its text in an error that can.

    A UserError gets no traceback: its message is complete.
    """
    text = "".join(traceback.format_exception(error))
    try:
        if not isinstance(error, UserError):
            error.add_note(f"in a data worker:\n{text}")
        packed = pickle.dumps(_Failed(error))
        pickle.loads(packed)
    except Exception:  # pickle raises whatever an object's own methods raise
        return pickle.dumps(_Failed(RuntimeError(text)))
    return packed


def _answer(samples: Samples, span: Span) -> bytes:
    try:
        batch = assemble(samples, span)
    except Exception as error:  # every error is raised again by the caller of `answer`
        return _failed(error)
    fields = {name: getattr(batch, name) for name in Batch.__slots__}
    arrays = {name: tensor.numpy() for name, tensor in batch.tensors.items()}
    return pickle.dumps(_Packed({**fields, "tensors": arrays}), protocol=5)
