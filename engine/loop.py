"""The loop: commands, step, report, validation, checkpoint, read from top to bottom."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

from engine.actions import Actions
from engine.config import Config
from engine.control import Control
from engine.data.batch import Batch
from engine.forensics.evidence import Evidence
from engine.forensics.investigation import Forensics
from engine.guards.gate import GateWindow, gate_checks
from engine.guards.watch import Watch
from engine.ledger import Ledger
from engine.plan import plan_for
from engine.protocol.events import Activity, AlertRaised, EpochCompleted, Paused, SampleRejected, StepSkipped
from engine.step import PendingReport, StepReport
from engine.trainer import Trainer

_PAUSE_POLL_SECONDS = 0.02


class TrainingDivergedError(RuntimeError):
    """So many steps in a row were not finite that going on would only pretend to train."""


@dataclass(frozen=True, slots=True)
class _InFlight:
    """A step whose report may still be on its way from the device, and what the host knows of it."""

    pending: PendingReport
    evidence: Evidence
    progress: float
    num_rois: int
    sample_ids: tuple[str, ...]
    wait_seconds: float
    ended_at: float


@dataclass(slots=True)
class _Epoch:
    """The epoch under way: when it began and the sum of its finite losses."""

    started: float
    loss_sum: float = 0.0
    count: int = 0


class Loop:
    """Trains until the run is complete or told to stop."""

    def __init__(self, config: Config, trainer: Trainer, ledger: Ledger, actions: Actions, control: Control):
        self._config = config
        self._trainer = trainer
        self._ledger = ledger
        self._actions = actions
        self._control = control
        self._forensics = Forensics(actions.directory.parent, config, trainer)
        self._watch = Watch(config)
        self._window = GateWindow(config.gate.window_steps)
        self._window_phase = ledger.state.phase
        self._in_flight: deque[_InFlight] = deque()
        self._lag = 1 if trainer.device.type == "cuda" else 0
        self._skipped_in_a_row = 0
        self._last_end = time.perf_counter()
        self._epoch = _Epoch(self._last_end)

    def train(self) -> str:
        """Run to the end; returns why it ended. Raises TrainingDivergedError."""
        self._ledger.turn_to(Activity.RUNNING)
        while not (ended := self.turn()):
            pass
        return ended

    def turn(self) -> str:
        """One boundary and what follows it: a step, an epoch's end, or a pause; returns why the run ended, or ''.

        Reports still on their way from the device are taken in before a command: it may roll back what they tell of.
        """
        self._actions.note_written()
        if self._control.is_waiting():
            self._settle(0)
            self._control.drain()
        state = self._ledger.state
        if state.activity is Activity.STOPPING:
            return "stopped"
        if state.activity is Activity.PAUSED:
            self._stand_still()
        elif self._actions.validation_due:
            self._end_epoch()
        elif self._is_complete():
            return "complete"
        else:
            self._advance()
        return ""

    def _stand_still(self) -> None:
        time.sleep(_PAUSE_POLL_SECONDS)
        self._last_end = time.perf_counter()

    def _is_complete(self) -> bool:
        training, state = self._config.training, self._ledger.state
        out_of_steps = bool(training.max_steps) and state.step >= training.max_steps
        return out_of_steps or self._trainer.progress >= training.epochs

    # --- a step -------------------------------------------------------------------------

    def _advance(self) -> None:
        state = self._ledger.state
        batches = self._trainer.draw(state.accumulation)
        plan = plan_for(self._trainer.progress, state, self._config)
        evidence = self._forensics.capture(batches, plan)
        pending = self._trainer.stepper.run(batches, plan)
        now = time.perf_counter()
        self._in_flight.append(self._launched(pending, evidence, now))
        self._last_end = now
        self._ledger.observe(step=state.step + 1, epoch=self._trainer.position.epoch, lr=plan.lr)
        self._report_rejections(batches)
        ends_epoch = batches[-1].ends_epoch
        self._settle(0 if ends_epoch or self._checkpoint_is_due() else self._lag)
        self._count_down()
        if ends_epoch:
            self._actions.validation_due = True
        elif self._checkpoint_is_due():
            self._actions.checkpoint("step")

    def _launched(self, pending: PendingReport, evidence: Evidence, now: float) -> _InFlight:
        return _InFlight(
            pending=pending,
            evidence=evidence,
            progress=self._trainer.progress,
            num_rois=sum(len(batch.label_NHW) for batch in evidence.batches),
            sample_ids=evidence.sample_ids,
            wait_seconds=sum(batch.wait_seconds for batch in evidence.batches),
            ended_at=now - self._last_end,
        )

    def _checkpoint_is_due(self) -> bool:
        every = self._config.checkpoint.every_steps
        return every > 0 and self._ledger.state.step % every == 0

    def _settle(self, lag: int) -> None:
        """Take in the reports of all steps but the newest `lag`."""
        while len(self._in_flight) > lag:
            step = self._in_flight.popleft()
            self._take_in(step, step.pending.resolve())

    def _take_in(self, step: _InFlight, report: StepReport) -> None:
        seconds = max(step.ended_at, 1e-9)
        rate = step.num_rois / seconds
        extra = {
            "lr": step.pending.plan.lr,
            "samples_per_second": rate,
            "data_wait": step.wait_seconds,
            "skipped": float(not report.finite),
        }
        number = report.index + 1
        metrics = {**dict(zip(report.names, report.values, strict=True)), **extra}
        self._ledger.record_step(number, step.progress, tuple(metrics), tuple(metrics.values()))
        before = self._ledger.state
        seen = self._watch.observe(number, metrics, before, seconds=seconds)
        smoothed = before.samples_per_second or rate
        self._ledger.observe(
            loss=report.loss,
            grad_norm=report.grad_norm,
            clamp_hits=before.clamp_hits + report.clamp_hits,
            samples_per_second=0.9 * smoothed + 0.1 * rate,
            clip_rate=self._watch.clip_rate,
        )
        for event in seen:
            self._ledger.note(event)
        self._judge(step, report)

    def _judge(self, step: _InFlight, report: StepReport) -> None:
        """Keep the books of the gate and of skipped steps; give up where nothing moves any more."""
        self._look_through_gate(report)
        if report.finite and report.weights_finite:
            self._skipped_in_a_row = 0
            self._actions.clean_steps += 1
            self._epoch.loss_sum += report.loss
            self._epoch.count += 1
            return
        self._skipped_in_a_row += 1
        self._actions.clean_steps = 0
        skipped = describe_skip(report, step.sample_ids)
        self._ledger.note(skipped)
        self._ledger.alert_once(AlertRaised("non-finite step", f"step {report.index + 1}: {skipped.reason}", _REMEDY))
        self._name_fault(step, report)
        if self._skipped_in_a_row >= self._config.guard.max_skipped_in_a_row:
            raise TrainingDivergedError(
                f"{self._skipped_in_a_row} steps in a row were not finite, the last at step {report.index + 1}: "
                f"{skipped.reason}; resume from {self._ledger.state.good_checkpoint or 'an earlier run'} with a lower "
                "learning rate, or with that refinement disabled"
            )

    def _name_fault(self, step: _InFlight, report: StepReport) -> None:
        """Replay the step where its kind is new; a step launched since may have moved the weights meanwhile."""
        moved = any(later.pending.resolve().finite for later in self._in_flight)
        found = self._forensics.investigate(step.evidence, report, weights_as_then=not moved)
        if found is not None:
            self._ledger.note(found.named)
            self._ledger.note(found.alert)

    def _look_through_gate(self, report: StepReport) -> None:
        if self._window_phase != self._ledger.state.phase:
            self._window_phase = self._ledger.state.phase
            self._window.clear()
        self._window.add(loss=report.loss, grad_norm=report.grad_norm, finite=report.finite)
        if report.index % _GATE_EVERY == 0:
            self._measure_gate()

    def _measure_gate(self) -> None:
        self._ledger.observe(gate=gate_checks(self._window, self._ledger.state, self._config.gate))

    def _count_down(self) -> None:
        left = self._ledger.state.steps_until_pause
        if left is None:
            return
        if left > 1:
            self._ledger.observe(steps_until_pause=left - 1)
        else:
            self._settle(0)
            self._ledger.note(Paused(before=Activity.RUNNING.value), reason="the granted steps are done")

    def _report_rejections(self, batches: list[Batch]) -> None:
        for batch in batches:
            for rejection in batch.rejections:
                self._ledger.note(SampleRejected(rejection.file, rejection.error))

    # --- an epoch -----------------------------------------------------------------------

    def _end_epoch(self) -> None:
        """The epoch's summary, validation and checkpoint; comes again after a resume where a stop cut it short."""
        done = round(self._trainer.progress)
        seconds = time.perf_counter() - self._epoch.started
        mean = self._epoch.loss_sum / self._epoch.count if self._epoch.count else float("nan")
        best = False
        if done % self._config.validation.every_epochs == 0 or self._is_complete():
            before = self._ledger.state.best_miou
            summary = self._actions.validate()
            if summary is None:
                return
            self._ledger.note(summary)
            self._window.mious.append(summary.miou)
            best = before is None or summary.miou > before
        self._actions.validation_due = False
        self._ledger.note(EpochCompleted(done - 1, seconds, mean))
        self._epoch = _Epoch(time.perf_counter())
        self._measure_gate()
        self._ledger.observe(total_steps=self._trainer.total_steps(self._ledger.state))
        self._ledger.watch_writers()
        self._checkpoint_epoch(done, best)
        self._last_end = time.perf_counter()

    def _checkpoint_epoch(self, done: int, best: bool) -> None:
        every = self._config.checkpoint.every_epochs
        due = every > 0 and done % every == 0
        if best or due or self._checkpoint_is_due():
            self._actions.checkpoint("best" if best else "epoch", best=best)


_GATE_EVERY = 10
_REMEDY = (
    "lower the learning rate (to 1e-6), accumulate gradients or enlarge the batch, try Adam instead of AdamW, "
    "or disable the refinement named"
)


def describe_skip(report: StepReport, sample_ids: tuple[str, ...]) -> StepSkipped:
    """Say in words which loss terms and which modules' gradients of a step were not finite."""
    said: list[str] = []
    if report.bad_terms:
        said.append("loss " + ", ".join(report.bad_terms))
    if report.bad_modules:
        said.append("gradient of " + ", ".join(report.bad_modules))
    if report.bad_weights:
        said.append("weights of " + ", ".join(report.bad_weights))
    if report.bad_moments:
        said.append("optimizer moments of " + ", ".join(report.bad_moments))
    if not said:
        said.append("the gradient norm overflowed")
    reason = " and ".join(said) + " not finite; nothing was updated"
    return StepSkipped(report.bad_terms, report.bad_modules, sample_ids, reason)
