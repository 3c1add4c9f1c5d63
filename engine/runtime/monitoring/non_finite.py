"""Steps that were not finite: report what is not finite, find its origin, and end a training that makes no progress."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from engine.config.tree import RunConfig
from engine.forensics.investigate import Findings, Forensics
from engine.protocol.events import AlertRaised, StepSkipped
from engine.protocol.task_spec import TaskSpec
from engine.runtime.monitoring.launched_step import Launched
from engine.runtime.monitoring.supervisor import TrainingDivergedError
from engine.runtime.recorder import RunRecorder
from engine.supervision.guardian_types import StepObservation
from engine.supervision.run_memory import RunMemory
from engine.training.gradients.step_report import StepReport
from engine.training.train_state import TrainState

_NON_FINITE = "non-finite step"


class NonFiniteSteps:
    """Looks into each step that was not finite, and keeps the evidence of steps for that."""

    def __init__(self, config: RunConfig, train_state: TrainState, recorder: RunRecorder, memory: RunMemory):
        self._config = config
        self._train_state = train_state
        self._recorder = recorder
        self._memory = memory
        self.forensics = Forensics(recorder.journal.path.parent, config, train_state, memory)

    def look_into(
        self, observation: StepObservation, step: Launched, report: StepReport, later: Iterable[Launched]
    ) -> StepObservation:
        """Report the non-finite values of a step and their origin; the steps `later` were launched since.

        Raises TrainingDivergedError if too many steps in a row were skipped.
        """
        memory = self._memory
        memory.skipped_in_a_row += 1
        memory.clean_steps = 0
        skipped, number = describe_skip(report, step.evidence.sample_ids), report.index + 1
        self._recorder.record_event(skipped, step=number)
        if memory.note_alert(_NON_FINITE):
            alert = AlertRaised(_NON_FINITE, f"step {number}: {skipped.reason}", _remedy(self._recorder.state.spec))
            self._recorder.record_event(alert, step=number)
        found = self._name_fault(step, report, later)
        if memory.skipped_in_a_row >= self._config.guard.max_skipped_in_a_row:
            raise TrainingDivergedError(
                f"{memory.skipped_in_a_row} steps in a row were not finite, the last at step {number}: "
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

    def _name_fault(self, step: Launched, report: StepReport, later: Iterable[Launched]) -> Findings | None:
        """Replay the step if its kind of fault is new.

        Return `None` if not. Later steps may have changed the weights.
        """
        moved = any(other.pending.resolve().finite for other in later)
        found = self.forensics.investigate(step.evidence, report, weights_as_then=not moved)
        if found is not None:
            self._recorder.record_event(found.named, step=report.index + 1)
            self._recorder.record_event(found.alert, step=report.index + 1)
        return found


def _remedy(spec: TaskSpec) -> str:
    return (
        "lower the learning rate (to 1e-6), accumulate gradients or enlarge the batch, try Adam instead of AdamW, "
        f"or disable the {spec.component_noun} named"
    )


def describe_skip(report: StepReport, sample_ids: tuple[str, ...]) -> StepSkipped:
    """Return an event that names the non-finite loss terms and gradients of a skipped step."""
    found = {
        "loss": report.bad_terms,
        "gradient of": report.bad_modules,
        "weights of": report.bad_weights,
        "optimizer moments of": report.bad_moments,
    }
    said = [f"{kind} {', '.join(names)}" for kind, names in found.items() if names]
    where = f" on rank {', '.join(map(str, report.bad_ranks))}" if report.bad_ranks else ""
    reason = " and ".join(said or ["the gradient norm overflowed"]) + f" not finite{where}; nothing was updated"
    return StepSkipped(report.bad_terms, report.bad_modules, sample_ids, reason)
