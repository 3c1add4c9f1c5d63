"""The cockpit's thread of an attached run: it records the steps so far, and reads the inbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from engine.adapters.hooks.survive import Survive
from engine.adapters.replays.pending_replays import PendingReplays
from engine.adapters.run.mailbox import WatchedInbox
from engine.runtime.commands.command_processor import CommandProcessor

_POLL_SECONDS: Final = 0.05
"""Seconds between two looks of the cockpit's thread at the inbox."""
_RECORD_SECONDS: Final = 0.25
"""Seconds between two times that it records the steps so far: one by one they would cost the training more."""
_RECORD_COST: Final = 600
"""It waits longer, up to twice as long, for this many times the seconds that recording took: it holds Python's lock."""
_UPKEEP_SECONDS: Final = 1.0


class WatchedRun(Protocol):
    """The run as its thread sees it. `on_look` is called at each look, and `on_fault` with an exception of one."""

    is_over: bool
    replays: PendingReplays
    commands: CommandProcessor
    on_look: Callable[[], None]
    on_fault: Callable[[Exception], None]

    @property
    def is_settled(self) -> bool:
        """Whether all steps so far are recorded."""
        ...

    def settle(self) -> None:
        """Record all steps so far."""
        ...

    def upkeep(self) -> None:
        """Look after the writers and the checkpoints."""
        ...

    def ask(self) -> None:
        """Let the training's thread carry out commands at its next boundary."""
        ...


class RunThread:
    """The thread of `run`, from `start` to `stop`. It reads `inbox`, and closes it at its end."""

    def __init__(self, run: WatchedRun, inbox: WatchedInbox) -> None:
        self._run, self._inbox = run, inbox
        self._survive = Survive(self._give_up)
        self._stopping = threading.Event()
        self._record_at = self._upkeep_at = 0.0
        self._thread = threading.Thread(target=self._work, name="cockpit", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and wait for its end."""
        self._stopping.set()
        self.join()

    def join(self, seconds: float | None = None) -> None:
        """Wait for the end of the thread, `seconds` at most; not in the thread itself."""
        if self._thread is not threading.current_thread():
            self._thread.join(seconds)

    def _work(self) -> None:
        while not self._stopping.wait(_POLL_SECONDS):
            if not self._run.is_over:
                with self._survive:
                    self._look()
        self._inbox.close()

    def _look(self) -> None:
        run, now = self._run, time.monotonic()
        if not run.is_settled and now >= self._record_at:
            began = time.thread_time()
            run.settle()
            pause = _RECORD_COST * (time.thread_time() - began)
            self._record_at = now + min(max(pause, _RECORD_SECONDS), 2 * _RECORD_SECONDS)
        run.replays.collect()
        run.on_look()
        if self._inbox.fetch() or run.commands.is_proposed:
            run.ask()
        if now >= self._upkeep_at:
            self._upkeep_at = now + _UPKEEP_SECONDS
            run.upkeep()

    def _give_up(self, error: Exception) -> None:
        self._run.on_fault(error)  # the adapter may set it after the start
