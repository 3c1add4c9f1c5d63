"""The thread that writes checkpoints during training, and the result of each."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from engine.protocol.record import record
from engine.training.checkpoint.file import Snapshot, checkpoint_name, list_checkpoints, make_directory, write_snapshot
from engine.training.checkpoint.retention import prune


@record
class Written:
    """Result of a snapshot: its file name, the seconds of writing it, and the error or an empty string.

    `left` names the step checkpoints that existed afterwards; `None` if the disk did not answer. `made_directory`: the
    directory did not exist before, so that every earlier checkpoint is gone.
    """

    snapshot: Snapshot
    name: str
    seconds: float
    error: str = ""
    left: tuple[str, ...] | None = ()
    made_directory: bool = False


class CheckpointWriter:
    """A thread that writes snapshots during training. At most one snapshot waits for the previous one."""

    def __init__(self, directory: Path, *, keep_last: int, before_rename: Callable[[], object]):
        self.directory = directory
        self._keep_last = keep_last
        self._before = before_rename
        self._todo: queue.Queue[Snapshot | None] = queue.Queue(maxsize=1)
        self._done: queue.SimpleQueue[Written] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    def submit(self, snapshot: Snapshot) -> None:
        """Queue a snapshot. Blocks only while another one is waiting."""
        self._todo.put(snapshot)

    def collect(self) -> list[Written]:
        """Return the snapshots finished since the last call, in order."""
        return [self._done.get_nowait() for _ in range(self._done.qsize())]

    def wait(self) -> list[Written]:
        """Wait until all snapshots are written. Return those finished since the last call."""
        self._todo.join()
        return self.collect()

    def close(self) -> list[Written]:
        """Finish the queued snapshots and end the thread. Return those finished since the last call."""
        self._todo.put(None)
        self._thread.join()
        return self.collect()

    def _work(self) -> None:
        while (snapshot := self._todo.get()) is not None:
            self._done.put(self._write(snapshot))
            self._todo.task_done()
        self._todo.task_done()

    def _write(self, snapshot: Snapshot) -> Written:
        """Commit the journal, then write a snapshot.

        The order ensures that a checkpoint is never ahead of the journal. Every error is in the result: the training
        waits for this thread, and would do so for ever if an error ended it.
        """
        name, began = checkpoint_name(snapshot.step), time.monotonic()
        self._before()
        error, made_directory = "", False
        try:
            made_directory = make_directory(self.directory)
            write_snapshot(self.directory, snapshot)
            prune(self.directory, self._keep_last)
        except (OSError, TypeError) as refusal:
            error = str(refusal)
        except Exception as fault:  # the state of a foreign training may hold anything
            logging.getLogger(__name__).error("%s could not be written", name, exc_info=fault)
            error = f"{type(fault).__name__}: {fault}"
        left: tuple[str, ...] | None = None
        with suppress(OSError):
            left = tuple(path.name for path in list_checkpoints(self.directory))
        return Written(snapshot, name, time.monotonic() - began, error, left, made_directory)
