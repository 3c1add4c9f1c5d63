"""A run whose training is driven by a foreign loop: journal, commands, monitors and guardian around its steps.

The training's thread only collects numbers and looks at a flag. A thread of the cockpit writes the rows, runs the
monitors and reads the inbox. Commands are carried out by the training's thread, between two steps.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from engine.adapters.hooks.survive import say
from engine.adapters.replays.pending_replays import PendingReplays
from engine.adapters.run.attached_records import AttachedRecords
from engine.adapters.run.mailbox import WatchedInbox
from engine.adapters.run.run_files import open_files
from engine.adapters.run.run_thread import RunThread
from engine.adapters.run.state.attachable import Attachable
from engine.adapters.steps.step_reading import StepReading
from engine.adapters.steps.step_records import StepRecords
from engine.config.tree import RunConfig
from engine.errors import in_words
from engine.protocol import events as e
from engine.protocol.events import Activity
from engine.protocol.state import RunState
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.commands.command_processor import CommandProcessor, HandedOver
from engine.runtime.commands.request_queue import RequestQueue
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.monitoring.supervisor import Supervisor
from engine.runtime.validator import Validates
from engine.supervision.run_memory import RunMemory
from engine.training.checkpoint.file import checkpoint_name

_PAUSE_SECONDS: Final = 0.02
_CLOSE_SECONDS: Final = 5.0


class TrainingStopped(BaseException):
    """Raised between two steps if the run is to end. `with Cockpit(...)` catches it.

    It is not an Exception, so that a loop that survives errors of single batches does not survive a stop.
    """


class AttachedRun(AttachedRecords):
    """One run in `directory`, which must exist. Call `open` first, and `end` or `fail` last.

    `handed_over` collects checkpoints and validations for the adapter if it carries them out itself (`hands_over`);
    `boundary` returns after them also while the run is paused. `on_look` is called at each look at the inbox, and
    `on_fault` after a fault in the cockpit's thread.
    """

    def __init__(self, directory: Path, config: RunConfig, live: Attachable, validator: Validates) -> None:
        super().__init__(directory, live)
        self.interrupt = Interrupt()
        self.is_over = self.hands_over = False
        self.handed_over: list[HandedOver] = []
        self.on_attention: Callable[[], None] = lambda: None
        self.on_look: Callable[[], None] = lambda: None
        self.on_fault: Callable[[Exception], None] = self.detach
        self._config = config
        self._validator = validator
        self._attention = False
        self._asked = threading.Event()
        self._left: int | None = None
        self._files = ExitStack()
        self._thread: RunThread | None = None

    # --- start and end --------------------------------------------------------------------

    def open(
        self,
        state: RunState,
        described: Mapping[str, Any],
        payload: Mapping[str, Any] | None = None,
        *,
        is_resumed: bool = False,
    ) -> None:
        """Start the journal, with `state`, or go on from the checkpoint `payload`.

        With `is_resumed` and no payload, the training restores itself, and the journal goes on after the step of
        `state`. `described` is the program and the user's configuration. Raises UserError if the directory is in use or
        cannot be written.
        """
        opened = open_files(self.directory, state, described, is_resumed=is_resumed or payload is not None)
        self._files.callback(opened.close)
        self.recorder, self.log = opened.recorder, opened.log
        self.memory = RunMemory(self._config, state.spec)
        self.replays = PendingReplays(self.memory, self.name_fault)
        self._inbox = WatchedInbox(self.directory)
        requests = RequestQueue(self._inbox, self.recorder, self.interrupt)
        self.checkpointer = Checkpointer(
            self.directory, self._config, self.live, self.recorder, self.memory, self._validator
        )
        if is_resumed or payload is not None:
            self.recorder.journal.open_branch(state.step)
            self._step = state.step
        if payload is not None:
            _take_up(self, payload, state)
        hand_over = self.handed_over.append if self.hands_over else None
        self.commands = CommandProcessor(requests, self.recorder, self.live, self.checkpointer, hand_over)
        self.commands.refuse_stale()
        supervisor = Supervisor(self._config, self.live, self.recorder, self.memory, self.commands)
        self._records = StepRecords(self.recorder, self.memory, self.live, supervisor)
        if self.live.is_known:
            self.announce("" if payload is None else state.last_checkpoint)
        self._thread = RunThread(self, self._inbox)
        self._thread.start()

    def end(self, reason: str, *, checkpoint: bool = True) -> None:
        """Write the last checkpoint if the adapter writes any, and record the end. A second call does nothing.

        A stop writes it also if its step has one, which may lack the commands of a pause.
        """
        with self._ending() as is_first:
            if is_first:
                self.checkpointer.wait_for_checkpoints()
                is_saved = reason != "stopped" and self.checkpointer.has_checkpoint_of(self._step)
                if checkpoint and self._step and not is_saved:
                    self.recorder.record_event(_last_checkpoint(self))
                self.recorder.record_event(e.RunFinished(reason, time.perf_counter() - self._started))

    def fail(self, error: BaseException) -> None:
        """Record that the foreign training raised `error`, with its traceback in the log."""
        if not self.is_over:
            self.log.error("the training failed\n%s", "".join(traceback.format_exception(error)))
        self.fail_with(in_words(error))

    def fail_with(self, sentence: str) -> None:
        """Record that the foreign training failed, in one sentence."""
        with self._ending() as is_first:
            if is_first:
                self.recorder.record_event(e.RunFailed(sentence))

    @contextmanager
    def _ending(self) -> Generator[bool]:
        """Settle all steps before the block, which records the end, and close everything after it, the first time."""
        is_first, self.is_over = not self.is_over, True
        if not is_first:
            yield False
            if self._thread is not None:
                self._thread.join(_CLOSE_SECONDS)  # it may be closing the files just now, after a fault of its own
            return
        with suppress(Exception):
            self.replays.end()
            self.settle()
        try:
            with self._lock:
                yield True
        finally:
            self._close()

    def _close(self) -> None:
        if self._thread is not None:
            self._thread.stop()
        self.checkpointer.close()
        self._files.close()

    def release(self) -> None:
        """Close all files without an end of the run: the program itself records in the directory from now on."""
        self.is_over = True
        self._close()

    def detach(self, error: Exception, *, lets_go: bool = True) -> None:
        """Stop watching after a fault of the cockpit: the training goes on without it.

        Unless `lets_go`, the adapter takes the hooks from the training itself.
        """
        if self.is_over:
            return
        self.is_over = True
        if lets_go:
            with suppress(Exception):
                self.live.let_go()
        with suppress(Exception):
            self.record_detached(error)
        say(f"detached after a fault of its own, the training goes on: {error!r}")
        with suppress(Exception):
            self._close()

    # --- between two steps ----------------------------------------------------------------

    def boundary(self) -> bool:
        """Carry out what was asked, and wait while the run is paused. Return whether anything was asked.

        Raises TrainingStopped if the run is to end.
        """
        if is_asked := self.is_asked:
            self._attend()
        return is_asked

    @property
    def is_asked(self) -> bool:
        """Whether the next boundary has to carry out a command, or to end the run."""
        return self._attention or self.interrupt.is_set()

    @property
    def is_stop_waiting(self) -> bool:
        """Whether a stop command waits for the next boundary."""
        return self._inbox.is_stop_waiting

    @property
    def is_due(self) -> bool:
        """Whether the next boundary has something to do: a command waits, or the last granted step follows."""
        return self._attention or self._left == 1 or self.interrupt.is_set()

    def _attend(self) -> None:
        while not self.is_over:
            self.settle()
            self._asked.clear()
            with self._lock:
                self._attention = False
                self.recorder.update(step=self._step)
                self.checkpointer.note_written()
                if self.commands.is_waiting():
                    self.commands.process_pending()
                state = self.recorder.state
                self._step, self._left = state.step, state.steps_until_pause
                self.live.adopt(state)
            if state.activity is Activity.STOPPING:
                raise TrainingStopped
            if self.handed_over:
                self._attention = True
                return
            if state.activity is not Activity.PAUSED:
                return
            while not (self._asked.wait(_PAUSE_SECONDS) or self.interrupt.is_set() or self.is_over):
                pass

    def ask(self) -> None:
        """Let the training's thread carry out commands at its next boundary, also while it waits in a pause."""
        self._attention = True
        self._asked.set()
        self.on_attention()

    def add(self, reading: StepReading) -> bool:
        """Record one step. Return whether it was skipped, as far as the host knows."""
        self._step = number = self._step + 1
        reading.number, reading.progress, reading.time = number, self.live.progress, time.time()
        is_skipped = reading.update.is_skipped  # before another thread may read it, and with it a late verdict
        self._rows.append(reading)
        if is_skipped or self._left is not None:
            self.settle()
            self._attention |= self.commands.is_proposed
        if self._left is not None:
            self._count_down()
        return is_skipped

    def _count_down(self) -> None:
        with self._lock:
            assert self._left is not None
            self._left -= 1
            if self._left:
                self.recorder.update(steps_until_pause=self._left)
                return
            self._left = None
            self.recorder.record_event(e.Paused(before=Activity.RUNNING.value), reason="the granted steps are done")
            self._attention = True


def _take_up(run: AttachedRun, payload: Mapping[str, Any], state: RunState) -> None:
    """Go on from a checkpoint. An error of the program's own objects ends the run, and is raised again."""
    try:
        run.live.restore(payload, state)
        run.live.take_up_position(payload)
        run.checkpointer.take_up(payload)
    except BaseException as error:
        run.fail(error)
        raise


def _last_checkpoint(run: AttachedRun) -> e.CheckpointSaved | e.CheckpointFailed:
    """Write the last checkpoint. Its fault must not end a program that has still to use what it has trained."""
    try:
        return run.checkpointer.checkpoint_now("final")
    except Exception as error:
        run.log.error("the last checkpoint has a fault", exc_info=error)
        run.recorder.update(doing="")
        return e.CheckpointFailed(checkpoint_name(run.step), f"{type(error).__name__}: {error}")
