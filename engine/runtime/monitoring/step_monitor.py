"""Process a finished step: record metrics, update monitors, raise alerts, diagnose non-finite steps."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import field, replace

import torch

from engine.config.tree import RunConfig
from engine.forensics.capture import Evidence
from engine.forensics.investigate import Findings, Forensics
from engine.outputs.step_time import TIME
from engine.outputs.system_load import SystemLoad, usable_cores
from engine.protocol.events import AlertRaised, Event, SpikeDetected, StepSkipped, ValidationCompleted
from engine.protocol.record import record
from engine.protocol.task_spec import TaskSpec
from engine.runtime.checkpointer import Checkpointer
from engine.runtime.monitoring.supervisor import Supervisor, TrainingDivergedError
from engine.runtime.recorder import RunRecorder, record_histograms
from engine.supervision.alerts.busy_machine import BusyMachineMonitor
from engine.supervision.gate import gate_checks
from engine.supervision.guardian_types import StepObservation
from engine.supervision.run_memory import EpochLoss, RunMemory
from engine.supervision.step_metrics import StepMetrics
from engine.training.device import PartTimer, gpu_uuid
from engine.training.gradients.step_report import PendingReport, StepReport
from engine.training.train_state import TrainState


@record
class Launched:
    """A step whose report may still be in transit from the device, and its data known to the host.

    `wait_seconds` is the time spent waiting for data, `seconds` the total time. `times` divides the time since the step
    before, with the validation and the checkpoints between the two. `memory` are measurements of the device's
    memory, `by_rank` those of each rank, and `evidence_of` returns the evidence of another rank, or `None`.
    """

    pending: PendingReport
    evidence: Evidence
    progress: float
    num_samples: int
    wait_seconds: float
    seconds: float
    times: BetweenSteps
    memory: Mapping[str, float] = field(default_factory=dict[str, float])
    by_rank: Mapping[str, float] = field(default_factory=dict[str, float])
    evidence_of: Callable[[int], Evidence | None] = lambda rank: None

    def parts(self) -> dict[str, float]:
        """Return the seconds of each part of the time since the step before, by metric; the report must be resolved."""
        times = self.times
        known = {**self.pending.seconds(), **(times.transfer.seconds() if times.transfer else {})}
        known |= {"data_wait": self.wait_seconds, "validation": times.validation, "checkpoint": times.checkpoint}
        known["other"] = max(times.whole - sum(known.values()), 0.0)
        return {TIME + part: seconds for part, seconds in known.items()}


@record
class BetweenSteps:
    """Seconds since the end of the step before: in all, and of what the loop does; and the copies to the device."""

    whole: float
    validation: float
    checkpoint: float
    transfer: PartTimer | None


class StepTimes:
    """Measures the time from step to step; `validation` counts the seconds of validations since the last step."""

    def __init__(self, checkpointer: Checkpointer) -> None:
        self.validation = 0.0
        self._checkpointer = checkpointer
        self.skip()

    def skip(self) -> None:
        """Leave out the time until now, of a pause or of commands."""
        self._began, self._spent = time.perf_counter(), self._checkpointer.spent

    def take(self, now: float, transfer: PartTimer | None) -> BetweenSteps:
        """Return the times of the step that ends `now`, and begin those of the next one."""
        spent = self._checkpointer.spent
        times = BetweenSteps(now - self._began, self.validation, spent - self._spent, transfer)
        self.validation, self._began, self._spent = 0.0, now, spent
        return times


class StepMonitor:
    """Hold the steps in flight, and process their reports in their order."""

    def __init__(
        self,
        config: RunConfig,
        train_state: TrainState,
        recorder: RunRecorder,
        memory: RunMemory,
        supervisor: Supervisor,
    ):
        self._config = config
        self._train_state = train_state
        self._recorder = recorder
        self._memory = memory
        self._supervisor = supervisor
        self._in_flight: deque[Launched] = deque()
        self.forensics = Forensics(recorder.journal.path.parent, config, train_state, memory)
        threads = torch.get_num_threads() if train_state.device.type == "cpu" else 0
        self._busy = BusyMachineMonitor(threads, usable_cores())
        self.load = SystemLoad(gpu_uuid(train_state.device))

    def add(self, step: Launched) -> None:
        """Queue a step until its report is processed."""
        self._in_flight.append(step)

    def settle(self, lag: int = 0) -> None:
        """Process the reports of all steps except the newest `lag`. Raises TrainingDivergedError."""
        while len(self._in_flight) > lag:
            self._process(self._in_flight.popleft())

    def close_epoch(self) -> float:
        """Return the mean of the epoch's finite losses, NaN without any, and begin the next epoch."""
        closed, self._memory.epoch_loss = self._memory.epoch_loss, EpochLoss()
        return closed.mean

    def _process(self, step: Launched) -> None:
        """Record and monitor the report of `step`."""
        report = step.pending.resolve()
        step = _with_evidence(step, report)
        metrics, observed = self._record(step, report)
        for event in observed:
            self._recorder.record_event(event)
        observation = StepObservation(
            number=report.index + 1,
            finite=report.finite,
            sound=report.weights_finite,
            spiked=any(isinstance(event, SpikeDetected) for event in observed),
            steep=any(isinstance(event, AlertRaised) and event.kind == "gradient norm" for event in observed),
        )
        if report.finite and report.weights_finite:
            self._memory.skipped_in_a_row = 0
            self._memory.clean_steps += 1
            self._memory.epoch_loss.add(report.loss)
        else:
            observation = self._look_into(observation, step, report)
        self._supervisor.on_step(observation)
        self._supervisor.on_rules(self._memory.watch.rules.observe(report.index + 1, metrics, self._recorder.state))
        self._look_through_gate(report, step.pending.plan.weights)

    def _record(self, step: Launched, report: StepReport) -> tuple[Mapping[str, float], tuple[Event, ...]]:
        """Record the step's row and the measured state. Return the row and the events of the monitors."""
        rate = step.num_samples / step.seconds
        extra = {
            "lr": step.pending.plan.lr,
            "samples_per_second": rate,
            "data_wait": step.wait_seconds,
            "skipped": float(not report.finite),
            **step.parts(),
            **self.load.newest,
            **step.memory,
            **step.by_rank,
        }
        number, before = report.index + 1, self._recorder.state
        metrics = {**dict(zip(report.names, report.values, strict=True)), **extra}
        self._recorder.journal.record_step(number, step.progress, tuple(metrics), tuple(metrics.values()))
        if (layers := step.pending.layers) is not None:
            measured = layers.resolve(counted=report.finite)
            self._recorder.layers.record(number, step.progress, measured, self._config.layers.every_steps)
        for pending in step.pending.histograms:
            record_histograms(self._recorder, pending.resolve(number))
        observed = self._memory.watch.observe(number, metrics, before, seconds=step.seconds)
        observed += self._busy.observe(StepMetrics(number, metrics, before, step.seconds))
        self._recorder.update(
            loss=report.loss,
            grad_norm=report.grad_norm,
            clamp_hits=before.clamp_hits + report.clamp_hits,
            samples_per_second=0.9 * (before.samples_per_second or rate) + 0.1 * rate,
            clip_rate=self._memory.watch.clip_rate,
        )
        return metrics, observed

    # --- non-finite steps -----------------------------------------------------------------

    def _look_into(self, observation: StepObservation, step: Launched, report: StepReport) -> StepObservation:
        """Report the non-finite values and their origin.

        Raises TrainingDivergedError if too many steps in a row were skipped.
        """
        memory = self._memory
        memory.skipped_in_a_row += 1
        memory.clean_steps = 0
        skipped = describe_skip(report, step.evidence.sample_ids)
        self._recorder.record_event(skipped)
        if memory.note_alert(_NON_FINITE):
            remedy = _remedy(self._recorder.state.spec)
            self._recorder.record_event(AlertRaised(_NON_FINITE, f"step {report.index + 1}: {skipped.reason}", remedy))
        found = self._name_fault(step, report)
        if memory.skipped_in_a_row >= self._config.guard.max_skipped_in_a_row:
            raise TrainingDivergedError(
                f"{memory.skipped_in_a_row} steps in a row were not finite, the last at step {report.index + 1}: "
                f"{memory.guardian.place or skipped.reason}; {self._way_out()}"
            )
        return replace(
            observation,
            excused=self._is_overflow(report),
            terms=report.bad_terms,
            modules=report.bad_modules,
            sample_ids=step.evidence.sample_ids,
            reason=skipped.reason,
            fault=found.named if found is not None else None,
        )

    def _way_out(self) -> str:
        """Return the remedy for a run that no longer makes progress."""
        state, guilty = self._recorder.state, self._memory.guardian.refinement
        off = f", or with {guilty} disabled" if guilty in state.refinements else ""
        return f"resume from {state.good_checkpoint or 'an earlier run'} with a lower learning rate{off}"

    def _is_overflow(self, report: StepReport) -> bool:
        """Return whether only the scaled fp16 gradient overflowed. The next step then uses half the scale."""
        scaler = self._train_state.train_step.scaler
        by_scaling = scaler.is_enabled() and scaler.get_scale() >= 1
        return by_scaling and not report.bad_terms and report.weights_finite

    def _name_fault(self, step: Launched, report: StepReport) -> Findings | None:
        """Replay the step if its kind of fault is new.

        Return `None` if not. Steps launched since may have changed the weights.
        """
        moved = any(other.pending.resolve().finite for other in self._in_flight)
        found = self.forensics.investigate(step.evidence, report, weights_as_then=not moved)
        if found is not None:
            self._recorder.record_event(found.named)
            self._recorder.record_event(found.alert)
        return found

    # --- gate -----------------------------------------------------------------------------

    def _look_through_gate(self, report: StepReport, weights: Mapping[str, float]) -> None:
        if self._memory.phase != self._recorder.state.phase:
            self._memory.phase = self._recorder.state.phase
            self._memory.window.clear()
        level = self._memory.baseline.total(weights)
        self._memory.window.add(loss=report.loss, grad_norm=report.grad_norm, finite=report.finite, level=level)
        if report.index % _GATE_EVERY == 0:
            self.measure_gate()

    def note_validation(self, summary: ValidationCompleted) -> None:
        """Add the result of an epoch's validation."""
        self._memory.note_validation(summary, self._recorder.state.spec.score)

    def show_gate(self) -> None:
        """Check the gate and record the result in the state."""
        state, gate = self._recorder.state, self._config.gate
        ill = self._memory.watch.ill(state, min(gate.min_steps, self._config.guard.dead_steps))
        has_baseline = self._memory.baseline.covers(state.spec.active_terms(state.refinements))
        self._recorder.update(gate=gate_checks(self._memory.window, state, gate, ill, has_baseline=has_baseline))

    def measure_gate(self) -> None:
        """Check the gate now, and let the autopilot act on it."""
        self.show_gate()
        self._supervisor.on_gate()


_GATE_EVERY = 10
_NON_FINITE = "non-finite step"


def _remedy(spec: TaskSpec) -> str:
    return (
        "lower the learning rate (to 1e-6), accumulate gradients or enlarge the batch, try Adam instead of AdamW, "
        f"or disable the {spec.component_noun} named"
    )


def _with_evidence(step: Launched, report: StepReport) -> Launched:
    """Return `step` with the evidence of the first rank that was not finite, if it is not this one."""
    rank = min(report.bad_ranks, default=0)
    found = step.evidence_of(rank) if rank else None
    return step if found is None else replace(step, evidence=found)


def describe_skip(report: StepReport, sample_ids: tuple[str, ...]) -> StepSkipped:
    """Return an event that names the non-finite loss terms and gradients of a skipped step."""
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
    where = f" on rank {', '.join(map(str, report.bad_ranks))}" if report.bad_ranks else ""
    reason = " and ".join(said) + f" not finite{where}; nothing was updated"
    return StepSkipped(report.bad_terms, report.bad_modules, sample_ids, reason)
