"""What is made of a step's report: its row, the books of the gate and of skipped steps, alerts, named faults."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from engine.actions import Actions
from engine.config import Config
from engine.device import gpu_uuid
from engine.forensics.evidence import Evidence
from engine.forensics.investigation import Findings, Forensics
from engine.guards.gate import GateWindow, gate_checks
from engine.guards.watch import Watch
from engine.ledger import Ledger
from engine.protocol.events import AlertRaised, Event, StepSkipped
from engine.step import PendingReport, StepReport
from engine.system import SystemLoad
from engine.trainer import Trainer


class TrainingDivergedError(RuntimeError):
    """So many steps in a row were not finite that going on would only pretend to train."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A step whose report may still be on its way from the device, and what the host knows of it.

    `wait_seconds` is how long it waited for data, `seconds` how long it took in all.
    """

    pending: PendingReport
    evidence: Evidence
    progress: float
    num_rois: int
    wait_seconds: float
    seconds: float


class Judge:
    """Takes in the reports of steps, in their order."""

    def __init__(self, config: Config, trainer: Trainer, ledger: Ledger, actions: Actions):
        self._config = config
        self._ledger = ledger
        self._actions = actions
        self.forensics = Forensics(actions.directory.parent, config, trainer)
        self.load = SystemLoad(gpu_uuid(trainer.device))
        self._watch = Watch(config)
        self._window = GateWindow(config.gate.window_steps)
        self._window_phase = ledger.state.phase
        self._skipped_in_a_row = 0

    def take_in(self, step: Launched, later: Collection[Launched]) -> StepReport:
        """Write down what `step` came to, and judge it; `later` were launched since. Raises TrainingDivergedError."""
        report = step.pending.resolve()
        seen = self._record(step, report)
        for event in seen:
            self._ledger.note(event)
        self._look_through_gate(report)
        if report.finite and report.weights_finite:
            self._skipped_in_a_row = 0
            self._actions.clean_steps += 1
        else:
            self._judge_bad(step, report, later)
        return report

    def _record(self, step: Launched, report: StepReport) -> tuple[Event, ...]:
        """The step's row and the measured fields of the state; returns what the watch says of it."""
        rate = step.num_rois / step.seconds
        extra = {
            "lr": step.pending.plan.lr,
            "samples_per_second": rate,
            "data_wait": step.wait_seconds,
            "skipped": float(not report.finite),
            **self.load.newest,
        }
        number, before = report.index + 1, self._ledger.state
        metrics = {**dict(zip(report.names, report.values, strict=True)), **extra}
        self._ledger.record_step(number, step.progress, tuple(metrics), tuple(metrics.values()))
        seen = self._watch.observe(number, metrics, before, seconds=step.seconds)
        self._ledger.observe(
            loss=report.loss,
            grad_norm=report.grad_norm,
            clamp_hits=before.clamp_hits + report.clamp_hits,
            samples_per_second=0.9 * (before.samples_per_second or rate) + 0.1 * rate,
            clip_rate=self._watch.clip_rate,
        )
        return seen

    # --- a step that was not finite -------------------------------------------------------

    def _judge_bad(self, step: Launched, report: StepReport, later: Collection[Launched]) -> None:
        """Say what was not finite and where it began; give up where nothing moves any more."""
        self._skipped_in_a_row += 1
        self._actions.clean_steps = 0
        skipped = describe_skip(report, step.evidence.sample_ids)
        self._ledger.note(skipped)
        self._ledger.alert_once(AlertRaised("non-finite step", f"step {report.index + 1}: {skipped.reason}", _REMEDY))
        self._name_fault(step, report, later)
        if self._skipped_in_a_row >= self._config.guard.max_skipped_in_a_row:
            raise TrainingDivergedError(
                f"{self._skipped_in_a_row} steps in a row were not finite, the last at step {report.index + 1}: "
                f"{skipped.reason}; resume from {self._ledger.state.good_checkpoint or 'an earlier run'} with a lower "
                "learning rate, or with that refinement disabled"
            )

    def _name_fault(self, step: Launched, report: StepReport, later: Collection[Launched]) -> Findings | None:
        """Replay the step where its kind is new; a step launched since may have moved the weights meanwhile."""
        moved = any(other.pending.resolve().finite for other in later)
        found = self.forensics.investigate(step.evidence, report, weights_as_then=not moved)
        if found is not None:
            self._ledger.note(found.named)
            self._ledger.note(found.alert)
        return found

    # --- the gate -------------------------------------------------------------------------

    def _look_through_gate(self, report: StepReport) -> None:
        if self._window_phase != self._ledger.state.phase:
            self._window_phase = self._ledger.state.phase
            self._window.clear()
        self._window.add(loss=report.loss, grad_norm=report.grad_norm, finite=report.finite)
        if report.index % _GATE_EVERY == 0:
            self.measure_gate()

    def note_validation(self, miou: float) -> None:
        """An epoch's validation came to `miou` (0..1)."""
        self._window.mious.append(miou)

    def measure_gate(self) -> None:
        """Hold the window against the gate, for all to see."""
        self._ledger.observe(gate=gate_checks(self._window, self._ledger.state, self._config.gate))


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
