"""The records of an attached run: events, validations, checkpoints and steps, from any thread."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from torch import Tensor

from engine.adapters.run.description import with_metrics, with_terms
from engine.adapters.run.findings import record_of
from engine.adapters.run.state.attachable import Attachable
from engine.adapters.steps.step_reading import StepReading
from engine.adapters.steps.step_records import StepRecords
from engine.outputs.fault_report import Fault
from engine.protocol import events as e
from engine.protocol.events import Activity, Event
from engine.protocol.state import Limits, with_decided
from engine.protocol.task_spec import TaskSpec
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.commands.command_processor import HandedOver
from engine.runtime.recorder import RunRecorder
from engine.supervision.run_memory import RunMemory

_MOST_TOGETHER: Final = 512
"""Maximum number of steps that are recorded together."""


class AttachedRecords:
    """Records what happens in the run in `directory`. Everything is recorded after the steps so far."""

    recorder: RunRecorder
    memory: RunMemory
    checkpointer: Checkpointer
    log: logging.Logger
    _records: StepRecords

    def __init__(self, directory: Path, live: Attachable) -> None:
        self.directory = directory
        self.live = live
        self._lock = threading.RLock()
        self._rows: deque[StepReading] = deque()
        self._newest: StepReading | None = None
        self._step = 0
        self._started = time.perf_counter()

    @property
    def step(self) -> int:
        """The number of steps done."""
        return self._step

    def announce(self, resumed_from: str = "") -> None:
        """Record what trains, once it is known."""
        recorder, live = self.recorder, self.live
        with self._lock:
            recorder.update(device=live.describe_device(), total_steps=live.total, lr=live.learning_rate(), doing="")
            recorder.record_event(_started(live, resumed_from))
            recorder.set_activity(Activity.RUNNING)
            live.adopt(recorder.state)

    def record(self, *events: Event) -> None:
        """Record events that happened now, after the steps so far."""
        self.settle()
        with self._lock:
            self.recorder.update(step=self._step)
            for event in events:
                self.recorder.record_event(event)

    def answer(self, handed: HandedOver, event: Event) -> None:
        """Record that a handed-over command is carried out, with `event`."""
        self.settle()
        with self._lock:
            self.recorder.update(step=self._step)
            handed.done(event)

    def decline(self, handed: HandedOver, reason: str) -> None:
        """Record that a handed-over command cannot be carried out."""
        with self._lock:
            handed.refuse(reason)

    def end_epoch(self, epoch: int, seconds: float) -> None:
        """Record that `epoch` (from 0) is complete."""
        self.settle()
        self.record(e.EpochCompleted(epoch, seconds, self._records.take_mean()))

    def checkpoint(self, kind: str, *, best: bool = False) -> None:
        """Copy the state of the training and queue it for writing."""
        self.settle()
        with self._lock:
            self.recorder.update(step=self._step)
            self.checkpointer.checkpoint(kind, best=best)

    def validated(
        self,
        metrics: Mapping[str, float],
        loss: float | None,
        seconds: float,
        record: Callable[[Event], None] | None = None,
    ) -> bool:
        """Record a validation, with `record` if it answers a command. Return whether its score is the best so far.

        `loss` is one of the metrics too if there are no others, or if it is the score.
        """
        self.settle()
        if loss is not None and (not metrics or self.spec.score == "loss"):
            metrics = {"loss": loss, **metrics}
        with self._lock:
            described = with_metrics(self.spec, tuple(metrics))
            if described is not self.spec:
                self.recorder.record_event(e.TaskDescribed(described))
            before = self.recorder.state.best_score
            self.recorder.update(step=self._step)
            names = {**({} if loss is None else {"loss": loss}), **metrics}
            row = {f"val/{name}": value for name, value in names.items()}
            self.recorder.journal.record_validation(self._step, self.live.progress, tuple(row), tuple(row.values()))
            summary = e.ValidationCompleted(loss, dict(metrics), seconds)
            (record or self.recorder.record_event)(summary)
            self.memory.note_validation(summary, self.recorder.state.spec.score)
            return self.recorder.state.best_score != before

    def name_fault(self, fault: Fault, step: int, seconds: float) -> None:
        """Record `fault` as the origin of the non-finite values of `step`."""
        with self._lock:
            for event in record_of(fault, step, seconds, self.directory, self.recorder.state):
                self.recorder.record_event(event)

    @property
    def spec(self) -> TaskSpec:
        """The description of the training so far."""
        return self.recorder.state.spec

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """The weights of the loss terms in force."""
        return self.recorder.state.loss_weights

    def set_limits(self, limits: Limits) -> None:
        """Set the bounds of commands, which were not known when the run was opened."""
        with self._lock, suppress(RuntimeError):  # a command that came before has used the former ones
            self.recorder.start_from(with_decided(self.recorder.state, limits=limits))

    def describe_terms(self, terms: Sequence[str]) -> None:
        """Add loss terms to the description, where they are new."""
        described = with_terms(self.spec, terms)
        if described is not self.spec:
            self.record(e.TaskDescribed(described))

    def record_detached(self, error: Exception) -> None:
        """Record that the cockpit detaches itself from the training, after a fault of its own."""
        self.log.error("the cockpit has a fault and detaches itself; the training goes on", exc_info=error)
        sentence = f"the cockpit detached itself after a fault of its own ({type(error).__name__}: {error})"
        self.recorder.record_event(e.AlertRaised("detached", sentence, "see console.log"))
        self.recorder.record_event(e.RunFinished("detached", time.perf_counter() - self._started))

    @property
    def is_settled(self) -> bool:
        """Whether all steps so far are recorded."""
        return not self._rows

    def settle(self) -> None:
        """Record all steps so far, with the findings of the monitors."""
        while self._rows:
            with self._lock:
                readings = [self._rows.popleft() for _ in range(min(len(self._rows), _MOST_TOGETHER))]
                self._records.record(readings, is_newest=not self._rows)
                self._newest = readings[-1] if readings else self._newest

    def upkeep(self) -> None:
        """Look after the writers and the checkpoints."""
        with self._lock:
            self.recorder.watch_losses()
            self.recorder.watch_writers()
            self.checkpointer.note_written()

    def add_logged(self, logged: Mapping[str, float | Tensor]) -> None:
        """Add numbers to the row of the newest step, which they came too late for."""
        self.settle()
        with self._lock:
            if logged and self._newest is not None and self._newest.number == self._step:
                self._newest.logged = {**self._newest.logged, **logged}
                self._records.record_again(self._newest)


def _started(live: Attachable, resumed_from: str) -> e.RunStarted:
    return e.RunStarted(
        device=live.describe_device(),
        num_parameters=live.num_parameters(),
        num_train_samples=0,
        num_val_samples=0,
        total_steps=live.total,
        resumed_from=resumed_from,
        learning_rate=live.learning_rate(),
    )
