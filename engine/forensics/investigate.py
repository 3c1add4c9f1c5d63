"""Investigate non-finite steps in a run: decide when, replay, and report."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from engine.config.tree import RunConfig
from engine.forensics.capture import Evidence, evidence_of, input_name
from engine.forensics.diagnose import describe_precision, name_fault
from engine.forensics.evidence_dir import prune_evidence, weights_payload, write_evidence
from engine.forensics.remedies import remedy_of
from engine.forensics.tensor_stats import stats_of
from engine.journal.disk.run_dir import FORENSICS
from engine.outputs.fault_report import NOT_REPLAYED, Fault, ForensicReport, TensorStats
from engine.outputs.fault_text import sentence
from engine.protocol.events import AlertRaised, FaultNamed
from engine.protocol.record import record
from engine.supervision.run_memory import RunMemory
from engine.training.data.batch import Batch
from engine.training.device import describe
from engine.training.gradients.step_report import StepReport
from engine.training.optimizer import moments_of
from engine.training.step_plan import StepPlan
from engine.training.train_state import TrainState

APART = 100
"""Minimum steps between two investigations of faults of one kind, if every step has one."""
MOST_KINDS = 20
"""Maximum number of kinds of faults that are investigated in one run.

The kind of a fault is determined by its step's report.
"""


@record
class Findings:
    """Result of an investigation, for the journal. `problem` is the error of writing its folder, or an empty string."""

    named: FaultNamed
    alert: AlertRaised
    problem: str = ""


@record
class Forensics:
    """Investigates non-finite steps of one run. Only the engine's thread calls it, between two steps."""

    run_dir: Path
    config: RunConfig
    train_state: TrainState
    memory: RunMemory

    def capture(self, batches: list[Batch], plan: StepPlan) -> Evidence:
        """Return the evidence of the next step; call it before the step."""
        return evidence_of(self.train_state.train_step, batches, plan)

    def investigate(self, evidence: Evidence, report: StepReport, *, weights_as_then: bool = True) -> Findings | None:
        """Name the fault of a skipped step; `None` if one of its kind was investigated recently.

        The network, its moments, the generators and the data position are restored afterwards.
        """
        if not self._is_due(report):
            return None
        started = time.perf_counter()
        model, optimizer = self.train_state.model, self.train_state.train_step.optimizer
        moments = moments_of(optimizer, model)
        try:
            fault = name_fault(self.train_state.train_step.objective, model, moments, evidence)
        except RuntimeError as error:  # out of memory, for example: an investigation must not end its run
            fault = Fault(
                NOT_REPLAYED,
                detail=f"the replay failed: {(str(error).strip() or type(error).__name__).splitlines()[0]}",
            )
        if report.bad_ranks:
            fault = replace(fault, rank=min(report.bad_ranks))
        found = ForensicReport(
            step=report.index + 1,
            time=time.time(),
            seconds=time.perf_counter() - started,
            fault=fault,
            remedy=remedy_of(fault, self.train_state.task.spec),
            loss=report.loss,
            grad_norm=report.grad_norm,
            learning_rate=evidence.plan.lr,
            refinements=evidence.plan.active,
            mixed_precision=describe_precision(evidence.amp),
            device=describe(self.train_state.device),
            bad_terms=report.bad_terms,
            bad_modules=report.bad_modules,
            sample_ids=evidence.sample_ids,
            batch=_batch_stats(evidence),
            weights_as_then=weights_as_then,
            component_noun=self.train_state.task.spec.component_noun,
        )
        try:
            weights = weights_payload(model, moments, keep=fault.module if fault.direction == "moment" else "")
            folder = write_evidence(self.run_dir, self.config, evidence, found, weights)
            prune_evidence(self.run_dir, self.config.guard.max_forensics)
        except OSError as error:
            return _findings(found, "", problem=str(error))
        return _findings(found, f"{FORENSICS}/{folder.name}")

    def _is_due(self, report: StepReport) -> bool:
        """Return whether a fault of this kind has not been diagnosed lately, and note that it is now."""
        diagnosed_at = self.memory.diagnosed_at
        kind = (report.bad_terms, report.bad_modules, report.bad_weights, report.bad_moments)
        last = diagnosed_at.get(kind)
        known = last is not None and 0 <= report.index - last < APART
        if known or (last is None and len(diagnosed_at) >= MOST_KINDS):
            return False
        diagnosed_at[kind] = report.index
        return True


def _batch_stats(evidence: Evidence) -> tuple[TensorStats, ...]:
    return tuple(
        stats_of(name if len(evidence.batches) == 1 else f"{name} {number}", tensor)
        for number, batch in enumerate(evidence.batches, start=1)
        for full_name, tensor in batch.tensors.items()
        for name in (input_name(full_name),)
    )


def _findings(found: ForensicReport, folder: str, *, problem: str = "") -> Findings:
    fault = found.fault
    named = FaultNamed(
        at_step=found.step,
        verdict=fault.verdict,
        direction=fault.direction,
        module=fault.module,
        operation=fault.operation,
        term=fault.term,
        refinement=fault.refinement,
        sample_ids=fault.sample_ids or found.sample_ids,
        folder=folder,
        seconds=found.seconds,
        rank=fault.rank,
    )
    where = f"; evidence in {folder}" if folder else f"; the evidence could not be written: {problem}"
    alert = AlertRaised(
        kind="fault",
        message=f"step {found.step}, {fault.verdict}: {sentence(fault)}{where}",
        remedy=found.remedy,
        term=fault.term,
        module=fault.module,
        operation=fault.operation,
        at_step=found.step,
    )
    return Findings(named, alert, problem)
