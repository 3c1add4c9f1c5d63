"""One worker process: how it is started, asked for batches, and ended. Samples and batches are pickled."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import pickle
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Final, cast

from engine.task import Samples
from engine.training.data.spans import Span
from engine.training.data.worker_program import Failed, Packed, serve

_PRELOADED: Final = ["torch", "scipy.ndimage", "PIL.Image", "pycocotools.mask"]
PATIENCE: Final = 0.2
"""Seconds between checks of the stop condition while waiting."""


class Worker:
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
        """The id of the process; `None` before it is started."""
        process = self._process
        return process.pid if process is not None else None

    def answer(self, span: Span) -> Packed | Failed:
        """Send a span to the process and return its batch.

        Raises EOFError or OSError if the process has died or was ended.
        """
        pipe = self._pipe or self._start()
        self._busy_since = time.monotonic()
        try:
            pipe.send(span)
            while not pipe.poll(PATIENCE):
                if self.is_ended:
                    raise EOFError
            return cast("Packed | Failed", pickle.loads(pipe.recv_bytes()))
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
        self._process.join(PATIENCE)
        code = self._process.exitcode
        return "ended because it gave nothing" if self.is_ended or code is None else _words_of(code)

    def stop(self) -> None:
        """End the process and discard it, dead or alive. The next span starts another."""
        if self._process is not None:
            _end(self._process)
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _start(self) -> Connection:
        context = _context()
        ours, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self._samples), name="data-worker", daemon=True)
        with _hang_ups_blocked():
            process.start()
        self._process, self._pipe, self.is_ended = process, ours, False
        theirs.close()
        return ours


def _words_of(code: int) -> str:
    """Return an exit code in words: the name of the signal that ended the process, if one did."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
    return f"{name}, perhaps for want of memory" if -code == signal.SIGKILL else name


def _end(process: BaseProcess) -> None:
    """End a process. Python must not wait at exit for one that survives SIGKILL because it waits for a disk."""
    process.kill()
    process.join(PATIENCE)
    if not process.is_alive():
        return
    children: set[BaseProcess] = getattr(multiprocessing.process, "_children", set())
    children.discard(process)


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


class _Nowhere:
    """A file that discards its content, so that testing a large data set needs no memory."""

    def write(self, data: Any) -> int:
        return len(data)


def can_travel(samples: Samples) -> bool:
    """Return whether the samples can be sent to a worker process."""
    try:
        pickle.Pickler(_Nowhere(), protocol=5).dump(samples)
    except Exception:  # an object's own pickle methods may raise anything
        return False
    return True
