"""A run whose training is driven by a foreign loop: journal, commands, monitors and guardian around its steps.

The training's thread only collects numbers and looks at a flag. A thread of the cockpit writes the rows, runs the
monitors and reads the inbox. Commands are carried out by the training's thread, between two steps.
"""

from __future__ import annotations

import math
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from engine.adapters.capabilities import Adapter
from engine.adapters.hooks.gradient_reader import listed
from engine.adapters.hooks.optimizer_hooks import Update
from engine.adapters.replays.fork_replay import RunningReplay
from engine.adapters.run.attached_state import Attachable
from engine.adapters.run.findings import record_of
from engine.adapters.run.mailbox import WatchedInbox
from engine.adapters.run.run_files import open_files
from engine.config.tree import RunConfig
from engine.forensics.investigate import APART, MOST_KINDS
from engine.host.interrupt import Interrupt
from engine.outputs.fault_report import Fault
from engine.protocol import events as e
from engine.protocol.events import Activity, AlertRaised, Event, SpikeDetected, StepSkipped
from engine.protocol.state import Limits, RunState, with_decided
from engine.protocol.task_spec import Metric, TaskSpec, Term
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.command_processor import CommandProcessor, HandedOver, RequestQueue
from engine.runtime.supervisor import Supervisor, TrainingDivergedError
from engine.runtime.validator import Validates
from engine.supervision.guardian_types import StepObservation
from engine.supervision.run_memory import RunMemory

_POLL_SECONDS: Final = 0.02
_UPKEEP_SECONDS: Final = 0.5
_LAST_SECONDS: Final = 15.0
"""Seconds that the end of a run waits for the repetition of a non-finite step."""
_NON_FINITE: Final = "non-finite step"
_REMEDY: Final = "lower the learning rate (to 1e-6), clip the gradient norm, or accumulate gradients"


class TrainingStopped(BaseException):
    """Raised between two steps if the run is to end. `with Cockpit(...)` catches it.

    It is not an Exception, so that a loop that survives errors of single batches does not survive a stop.
    """


@dataclass(slots=True)
class StepReading:
    """The numbers of one step, on the host or still on the device. `samples` is 0 if unknown."""

    update: Update
    losses: Mapping[str, float | Tensor]
    seconds: float
    wait: float = 0.0
    samples: int = 0
    logged: Mapping[str, float | Tensor] = field(default_factory=dict[str, float | Tensor])
    weight_norms: Mapping[str, float] = field(default_factory=dict[str, float])
    terms: Mapping[str, float] = field(default_factory=dict[str, float])
    number: int = 0
    progress: float = 0.0


class AttachedRun:
    """One run of `adapter` in `directory`, which must exist. Call `open` first, and `end` or `fail` last.

    `handed_over` collects checkpoints and validations for the adapter if it carries them out itself (`hands_over`);
    `boundary` returns after them also while the run is paused.
    """

    def __init__(
        self, directory: Path, adapter: Adapter, config: RunConfig, live: Attachable, validator: Validates
    ) -> None:
        self.directory = directory
        self.live = live
        self.interrupt = Interrupt()
        self.is_over = False
        self.hands_over = False
        self.handed_over: list[HandedOver] = []
        self.on_attention: Callable[[], None] | None = None
        self._adapter = adapter
        self._config = config
        self._validator = validator
        self._lock = threading.RLock()
        self._rows: deque[StepReading] = deque()
        self._attention = False
        self._closing = threading.Event()
        self._asked = threading.Event()
        self._started = time.perf_counter()
        self._step = 0
        self._left: int | None = None
        self._epoch_sum = 0.0
        self._epoch_count = 0
        self._replays: list[RunningReplay] = []
        self._files = ExitStack()
        self._thread: threading.Thread | None = None

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
        self.recorder = opened.recorder
        self.memory = RunMemory(self._config, state.spec)
        self._inbox = WatchedInbox(self.directory)
        requests = RequestQueue(self._inbox, self.recorder, self.interrupt)
        self.checkpointer = Checkpointer(
            self.directory, self._config, self.live, self.recorder, self.memory, self._validator
        )
        if payload is not None:
            self._take_up(payload, state)
        elif is_resumed:
            self.recorder.open_branch(state.step)
            self._step = state.step
        hand_over = self.handed_over.append if self.hands_over else None
        self.commands = CommandProcessor(requests, self.recorder, self.live, self.checkpointer, hand_over)
        self.commands.refuse_stale()
        self._supervisor = Supervisor(self._config, self.live, self.recorder, self.memory, self.commands)
        self.log = opened.log
        if self.live.is_known:
            self.announce("" if payload is None else state.last_checkpoint)
        self._thread = threading.Thread(target=self._work, name="cockpit", daemon=True)
        self._thread.start()

    def _take_up(self, payload: Mapping[str, Any], state: RunState) -> None:
        self.recorder.open_branch(state.step)
        self.live.restore(payload, state)
        self.live.take_up_position(payload)
        self.checkpointer.take_up(payload)
        self._step = state.step

    def announce(self, resumed_from: str = "") -> None:
        """Record what trains, once it is known."""
        recorder, live = self.recorder, self.live
        with self._lock:
            recorder.update(device=live.describe_device(), total_steps=live.total, lr=live.learning_rate(), doing="")
            recorder.record_event(
                e.RunStarted(
                    device=live.describe_device(),
                    num_parameters=live.num_parameters(),
                    num_train_samples=0,
                    num_val_samples=0,
                    total_steps=live.total,
                    resumed_from=resumed_from,
                    learning_rate=live.learning_rate(),
                )
            )
            recorder.set_activity(Activity.RUNNING)
            live.adopt(recorder.state)

    def end(self, reason: str, *, checkpoint: bool = True) -> None:
        """Write the last checkpoint if the adapter writes any, and record the end. A second call does nothing."""
        if self.is_over:
            return
        self.is_over = True
        with suppress(Exception):
            self._end_replays()
            self.settle()
        with self._lock:
            if checkpoint and self._step and not self.checkpointer.has_checkpoint_of(self._step):
                self.recorder.record_event(self.checkpointer.checkpoint_now("final"))
            self.recorder.record_event(e.RunFinished(reason, time.perf_counter() - self._started))
        self._close()

    def fail(self, error: BaseException) -> None:
        """Record that the foreign training raised `error`, with its traceback in the log."""
        if self.is_over:
            return
        self.is_over = True
        with suppress(Exception):
            self._end_replays()
            self.settle()
        with self._lock:
            self.log.error("the training failed\n%s", "".join(traceback.format_exception(error)))
            self.recorder.record_event(e.RunFailed(f"{type(error).__name__}: {error}"))
        self._close()

    def fail_with(self, sentence: str) -> None:
        """Record that the foreign training failed, in one sentence."""
        if self.is_over:
            return
        self.is_over = True
        self.settle()
        with self._lock:
            self.recorder.record_event(e.RunFailed(sentence))
        self._close()

    def _close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        self.checkpointer.close()
        self._files.close()

    def detach(self, error: Exception) -> None:
        """Stop watching after a fault of the cockpit: the training goes on without it."""
        if self.is_over:
            return
        self.is_over = True
        text = "".join(traceback.format_exception(error))
        with suppress(Exception):
            self.live.let_go()
        with suppress(Exception):
            self.log.error("the cockpit has a fault and detaches itself; the training goes on\n%s", text)
            sentence = f"the cockpit detached itself after a fault of its own ({type(error).__name__}: {error})"
            self.recorder.record_event(AlertRaised("detached", sentence, "see console.log"))
            self.recorder.record_event(e.RunFinished("detached", time.perf_counter() - self._started))
        with suppress(Exception):
            sys.stderr.write(f"cockpit: detached after a fault of its own, the training goes on: {error!r}\n")
        with suppress(Exception):
            if threading.current_thread() is self._thread:
                self._closing.set()
            else:
                self._close()

    # --- between two steps ----------------------------------------------------------------

    @property
    def step(self) -> int:
        """The number of steps done."""
        return self._step

    def boundary(self) -> None:
        """Carry out what was asked, and wait while the run is paused. Raises TrainingStopped if it is to end."""
        if self._attention or self.interrupt.is_set():
            self._attend()

    def _attend(self) -> None:
        while True:
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
            while not (self._asked.wait(_POLL_SECONDS) or self.interrupt.is_set()):
                pass

    def add(self, reading: StepReading) -> bool:
        """Record one step. Return whether it was skipped, as far as the host knows."""
        self._step += 1
        reading.number, reading.progress = self._step, self.live.progress
        self._rows.append(reading)
        is_skipped = reading.update.is_skipped
        if is_skipped or self._left is not None:
            self.settle()
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
        mean = self._epoch_sum / self._epoch_count if self._epoch_count else math.nan
        self._epoch_sum, self._epoch_count = 0.0, 0
        self.record(e.EpochCompleted(epoch, seconds, mean))

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
        """Record a validation, with `record` if it answers a command. Return whether its score is the best so far."""
        self.settle()
        with self._lock:
            self._describe_metrics(tuple(metrics))
            before = self.recorder.state.best_score
            self.recorder.update(step=self._step)
            names = {**({} if loss is None else {"loss": loss}), **metrics}
            row = {f"val/{name}": value for name, value in names.items()}
            self.recorder.record_validation(self.live.progress, tuple(row), tuple(row.values()))
            summary = e.ValidationCompleted(math.nan if loss is None else loss, dict(metrics), seconds)
            (record or self.recorder.record_event)(summary)
            self.memory.note_validation(summary, self.recorder.state.spec.score)
            return self.recorder.state.best_score != before

    # --- faults -----------------------------------------------------------------------------

    def wants_replay(self, update: Update) -> bool:
        """Return whether the fault of a skipped step was not diagnosed lately, and note that it is diagnosed now."""
        kind = (update.bad, (), (), ())
        last = self.memory.diagnosed_at.get(kind)
        if last is not None and 0 <= self._step - last < APART:
            return False
        if last is None and len(self.memory.diagnosed_at) >= MOST_KINDS:
            return False
        self.memory.diagnosed_at[kind] = self._step
        return True

    def await_replay(self, replay: RunningReplay) -> None:
        """Record the finding of `replay` when it has ended."""
        self._replays.append(replay)

    def name_fault(self, fault: Fault, step: int, seconds: float) -> None:
        """Record `fault` as the origin of the non-finite values of `step`."""
        with self._lock:
            for event in record_of(fault, step, seconds, self.directory, self.recorder.state):
                self.recorder.record_event(event)

    def _collect_replays(self) -> None:
        for replay in tuple(self._replays):
            fault = replay.result()
            if fault is not None:
                self._replays.remove(replay)
                self.name_fault(fault, replay.step, time.monotonic() - replay.started)

    def _end_replays(self) -> None:
        """Wait a moment for repetitions that have not ended, and give up the rest."""
        until = time.monotonic() + _LAST_SECONDS
        while self._replays and time.monotonic() < until:
            self._collect_replays()
            time.sleep(_POLL_SECONDS)
        for replay in self._replays:
            replay.abandon()
        self._replays.clear()

    # --- what the training names ----------------------------------------------------------

    @property
    def spec(self) -> TaskSpec:
        """The description of the training so far."""
        return self.recorder.state.spec

    def set_limits(self, limits: Limits) -> None:
        """Set the bounds of commands, which were not known when the run was opened."""
        with self._lock, suppress(RuntimeError):  # a command that came before has used the former ones
            self.recorder.start_from(with_decided(self.recorder.state, limits=limits))

    def describe_terms(self, terms: Sequence[str]) -> None:
        """Add loss terms to the description, where they are new."""
        fresh = tuple(Term(name) for name in terms if name not in self.spec.term_names)
        if fresh:
            self.record(e.TaskDescribed(replace(self.spec, terms=(*self.spec.terms, *fresh))))

    def _describe_metrics(self, names: Sequence[str]) -> None:
        known = {metric.name for metric in self.spec.metrics}
        fresh = tuple(Metric(name) for name in names if name not in known)
        if not fresh:
            return
        spec = self.spec
        score = spec.score or fresh[0].name
        lower = spec.lower_is_better if spec.score else _is_better_when_low(score)
        described = replace(spec, metrics=(*spec.metrics, *fresh), score=score, lower_is_better=lower)
        self.recorder.record_event(e.TaskDescribed(described))

    # --- the cockpit's thread -------------------------------------------------------------

    def _work(self) -> None:
        due = 0.0
        while not self._closing.wait(_POLL_SECONDS):
            if self.is_over:
                continue
            try:
                self.settle()
                self._collect_replays()
                if self._inbox.fetch() or self.commands.is_proposed:
                    self._attention = True
                    self._asked.set()
                    if self.on_attention is not None:
                        self.on_attention()
                if time.monotonic() >= due:
                    due = time.monotonic() + _UPKEEP_SECONDS
                    self._upkeep()
            except Exception as error:  # a fault of the cockpit must not end a foreign training
                self.detach(error)
        self._inbox.close()

    def _upkeep(self) -> None:
        with self._lock:
            self.recorder.watch_losses()
            self.recorder.watch_writers()
            self.checkpointer.note_written()

    def settle(self) -> None:
        """Record all steps so far, with the findings of the monitors."""
        while self._rows:
            with self._lock:
                if not self._rows:
                    return
                self._process(self._rows.popleft())

    def _process(self, reading: StepReading) -> None:
        values = _values(reading)
        is_finite, bad, grad_norm = _verdict(reading)
        total = values["loss/total"]
        parts = _part_norms(reading)
        metrics: dict[str, float] = {
            **values,
            "grad_norm/total": grad_norm,
            **{f"grad_norm/{part}": norm for part, norm in parts.items()},
            **{f"weight_norm/{part}": norm for part, norm in reading.weight_norms.items()},
            "lr": reading.update.lr,
            "samples_per_second": reading.samples / reading.seconds,
            "data_wait": reading.wait,
            "skipped": float(not is_finite),
        }
        if not reading.samples:
            del metrics["samples_per_second"]
        recorder, before = self.recorder, self.recorder.state
        recorder.record_step(reading.number, reading.progress, tuple(metrics), tuple(metrics.values()))
        observed = self.memory.watch.observe(reading.number, metrics, before, seconds=reading.seconds)
        rate = reading.samples / reading.seconds
        recorder.update(
            step=reading.number,
            epoch=self.live.epoch,
            lr=reading.update.lr,
            loss=total,
            grad_norm=grad_norm,
            samples_per_second=0.9 * (before.samples_per_second or rate) + 0.1 * rate,
            clip_rate=self.memory.watch.clip_rate,
        )
        for event in observed:
            recorder.record_event(event)
        self._observe(reading, observed, values, is_finite=is_finite, bad=bad)

    def _observe(
        self,
        reading: StepReading,
        observed: Sequence[Event],
        values: Mapping[str, float],
        *,
        is_finite: bool,
        bad: tuple[str, ...],
    ) -> None:
        memory = self.memory
        reason = ""
        terms = tuple(
            name.removeprefix("loss_raw/")
            for name, value in values.items()
            if name.startswith("loss_raw/") and not math.isfinite(value)
        )
        if is_finite:
            self._epoch_sum += values["loss/total"]
            self._epoch_count += 1
            memory.clean_steps += 1
            memory.skipped_in_a_row = 0
        else:
            memory.clean_steps = 0
            memory.skipped_in_a_row += 1
            is_loss_bad = bool(terms) or not math.isfinite(values["loss/total"])
            said = [f"loss {', '.join(terms)}".strip()] if is_loss_bad else []
            said += [f"gradient of {listed(bad)}"] if bad else []
            reason = (" and ".join(said) or "the gradient norm") + " not finite; nothing was updated"
            if reading.update.scaler_skipped is not None:
                reason += f" (skipped by the loss scaler, whose scale is {reading.update.scaler_skipped:g} now)"
            self.recorder.record_event(StepSkipped(terms, bad, (), reason))
            if memory.note_alert(_NON_FINITE):
                self.recorder.record_event(AlertRaised(_NON_FINITE, f"step {reading.number}: {reason}", _REMEDY))
        observation = StepObservation(
            number=reading.number,
            finite=is_finite,
            excused=reading.update.scaler_skipped is not None,
            terms=terms,
            modules=bad,
            reason=reason,
            spiked=any(isinstance(event, SpikeDetected) for event in observed),
        )
        try:
            self._supervisor.on_step(observation)
        except TrainingDivergedError as error:
            if memory.note_alert("guardian gives up"):
                self.recorder.record_event(AlertRaised("guardian gives up", str(error), "stop the run"))


def _values(reading: StepReading) -> dict[str, float]:
    """Return the losses and logged numbers of a step on the host."""
    raw = {name: _number(value) for name, value in reading.losses.items()}
    weights = reading.terms
    total = raw.pop("", None)
    if total is None:
        total = sum(value * weights.get(name, 1.0) for name, value in raw.items()) if raw else math.nan
    return {
        "loss/total": total,
        **{f"loss/{name}": value * weights.get(name, 1.0) for name, value in raw.items()},
        **{f"loss_raw/{name}": value for name, value in raw.items()},
        **{f"log/{name}": _number(value) for name, value in reading.logged.items()},
    }


def _number(value: float | Tensor) -> float:
    return float(value.detach()) if isinstance(value, Tensor) else float(value)


def _verdict(reading: StepReading) -> tuple[bool, tuple[str, ...], float]:
    """Return whether a step counted, what was not finite, and its gradient norm."""
    update = reading.update
    if update.finite is None:
        return not update.is_skipped, update.bad, update.grad_norm if not update.is_skipped else math.nan
    squares = [norms.squares.tolist() for norms in update.norms if isinstance(norms.squares, Tensor)]
    total = math.sqrt(sum(sum(part) for part in squares)) if squares else math.nan
    if math.isfinite(total):
        return True, (), total
    bad = [
        part
        for norms, values in zip(update.norms, squares, strict=True)
        for part, square in zip(norms.part_of, values, strict=True)
        if not math.isfinite(square)
    ]
    return False, tuple(dict.fromkeys(bad)), total


def _part_norms(reading: StepReading) -> dict[str, float]:
    found: dict[str, float] = {}
    for norms in reading.update.norms:
        for part, norm in norms.by_part().items():
            found[part] = math.hypot(found.get(part, 0.0), norm)
    return found


def _is_better_when_low(score: str) -> bool:
    return any(word in score.lower() for word in ("loss", "error", "perplexity", "ppl", "mse", "mae", "rmse", "bpc"))
