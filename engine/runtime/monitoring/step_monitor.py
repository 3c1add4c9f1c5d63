"""Process a finished step: record metrics, update monitors, raise alerts, diagnose non-finite steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import torch

from engine.config.tree import RunConfig
from engine.outputs.system_load import SystemLoad, usable_cores
from engine.protocol.events import AlertRaised, Event, SpikeDetected, ValidationCompleted
from engine.runtime.monitoring.launched_step import Launched
from engine.runtime.monitoring.non_finite import NonFiniteSteps
from engine.runtime.monitoring.supervisor import Supervisor
from engine.runtime.recorder import RunRecorder, record_histograms
from engine.supervision.alerts.busy_machine import BusyMachineMonitor
from engine.supervision.guardian_types import StepObservation
from engine.supervision.run_memory import EpochLoss, RunMemory
from engine.supervision.step_metrics import StepMetrics
from engine.training.device import gpu_uuid
from engine.training.gradients.step_report import StepReport
from engine.training.train_state import TrainState


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
        self._recorder = recorder
        self._memory = memory
        self._supervisor = supervisor
        self._in_flight: deque[Launched] = deque()
        self.faults = NonFiniteSteps(config, train_state, recorder, memory)
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
            self._recorder.record_event(event, step=report.index + 1)
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
            observation = self.faults.look_into(observation, step, report, self._in_flight)
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
        self._recorder.update(gate=self._memory.gate_checks(self._recorder.state, self._config))

    def measure_gate(self) -> None:
        """Check the gate now, and let the autopilot act on it."""
        self.show_gate()
        self._supervisor.on_gate()


_GATE_EVERY = 10


def _with_evidence(step: Launched, report: StepReport) -> Launched:
    """Return `step` with the evidence of the first rank that was not finite, if it is not this one."""
    rank = min(report.bad_ranks, default=0)
    found = step.evidence_of(rank) if rank else None
    return step if found is None else replace(step, evidence=found)
