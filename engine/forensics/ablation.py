"""Rerun a few steps from a checkpoint with each refinement off in turn, to find the harmful one."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from engine.config.load import read_resolved
from engine.config.tree import RunConfig
from engine.errors import UserError, did_you_mean
from engine.forensics.capture import Evidence, kept_random_state
from engine.forensics.offline import load_folder
from engine.forensics.replay import replay
from engine.journal.disk.run_dir import CHECKPOINTS, CONFIG_FILE
from engine.outputs.ablation_report import FINITE, NOT_FINITE, Ablation, AblationRequest, Variant, blame, ranked
from engine.protocol.events import RefinementDisabled
from engine.protocol.evolve import evolve
from engine.protocol.record import record
from engine.protocol.state import RunState, with_measured
from engine.protocol.task_spec import TaskSpec
from engine.protocol.wire import state_from_text
from engine.task import Splits, Task, load_task
from engine.training.checkpoint.content import load_resumable, newest_resumable
from engine.training.checkpoint.file import LAST_GOOD, CheckpointDamagedError, list_checkpoints
from engine.training.device import choose_device
from engine.training.gradients.step_report import StepReport
from engine.training.step_plan import plan_for
from engine.training.train_state import TrainState


def ablate(request: AblationRequest, on_variant: Callable[[str], None] = lambda name: None) -> Ablation:
    """Rerun the steps with all refinements on, then without each one.

    `on_variant` receives the next refinement to be switched off, an empty string for none. Every variant starts from
    the same weights, moments, random numbers and samples. Nothing is written. Raises UserError if there is no readable
    checkpoint.
    """
    started = time.perf_counter()
    config = without_workers(read_resolved(request.run_dir / CONFIG_FILE))
    payload, name = start_of(request.run_dir / CHECKPOINTS, request.checkpoint, config)
    task, device = load_task(config.task), choose_device(request.device)
    state = state_from_text(payload["state"], task.spec)
    with kept_random_state(device):
        bench = _Bench(task, config, payload, device, task.open_data(config), request)
        results: dict[str, Variant] = {}
        for without in ("", *sorted(state.refinements)):
            on_variant(without)
            results[without] = bench.measured(state, without)
    control = results.pop("")
    variants = ranked(control, tuple(results.values()))
    blamed, words = blame(control, variants, task.spec.component_noun)
    return Ablation(name, int(payload["step"]), control, variants, blamed, words, time.perf_counter() - started)


def start_of(directory: Path, wanted: str, config: RunConfig) -> tuple[dict[str, Any], str]:
    """Return the requested checkpoint and its name; by default the last good one, else the newest intact one.

    Raises UserError if it is missing or damaged.
    """
    known = [path.name for path in list_checkpoints(directory)]
    if wanted and (Path(wanted).name != wanted or not (directory / wanted).is_file()):
        raise UserError(f"there is no checkpoint {wanted!r} in this run: {did_you_mean(wanted, known)}")
    name = wanted or LAST_GOOD
    if not wanted and not (directory / name).is_file():
        payload = newest_resumable(directory, config)
        return payload, f"the newest, of step {payload['step']}"
    try:
        return load_resumable(directory / name, config), name
    except CheckpointDamagedError as error:
        raise UserError(f"{error}; give another one with --checkpoint") from error


def without_workers(config: RunConfig) -> RunConfig:
    """Return the configuration without data workers: starting them is too slow for a few steps. Batches are equal."""
    return config.model_copy(update={"data": config.data.model_copy(update={"num_workers": 0})})


@record
class _Bench:
    """Shared inputs of all variants."""

    task: Task
    config: RunConfig
    payload: Mapping[str, Any]
    device: torch.device
    splits: Splits
    request: AblationRequest

    def measured(self, state: RunState, without: str) -> Variant:
        """Return the measurements of one variant."""
        reports = self._steps(evolve(state, RefinementDisabled(without), state.step) if without else state)
        finite = [report for report in reports if report.finite and report.weights_finite]
        norms = [report.grad_norm for report in finite]
        return Variant(
            without=without,
            num_steps=len(reports),
            num_not_finite=len(reports) - len(finite),
            base_loss=_median([_base_loss(self.task.spec, report) for report in finite]),
            norm_median=_median(norms),
            norm_max=max(norms, default=math.nan),
            bad_batch=self._bad_batch(without),
        )

    def _steps(self, state: RunState) -> list[StepReport]:
        model = self.task.build_model(self.config).to(self.device)
        train_state = TrainState(self.task, self.config, model, self.splits, state)
        try:
            train_state.restore(self.payload, state)
            reports: list[StepReport] = []
            for _ in range(self.request.num_steps):
                drawn = train_state.draw(state.accumulation, excluded=state.excluded_samples)
                assert drawn is not None, "give_up was never true"
                if drawn.batches:
                    plan = plan_for(train_state.progress, state, self.config)
                    reports.append(train_state.train_step.run(drawn.batches, plan).resolve())
                    state = with_measured(state, step=state.step + 1)
            return reports
        finally:
            train_state.close()

    def _bad_batch(self, without: str) -> str:
        if self.request.folder is None:
            return ""
        objective, model, _, evidence = load_folder(self.request.folder, self.device)
        again = replay(objective, model, _without(self.task.spec, evidence, without), amp=evidence.amp)
        return FINITE if again.finite else NOT_FINITE


def _without(spec: TaskSpec, evidence: Evidence, refinement: str) -> Evidence:
    active = evidence.plan.active - {refinement}
    terms = tuple(term for term in spec.active_terms(active) if term in evidence.plan.terms)
    return replace(evidence, plan=replace(evidence.plan, active=active, terms=terms))


def _median(values: Sequence[float]) -> float:
    """Return the median, NaN without values."""
    return statistics.median(values) if values else math.nan


def _base_loss(spec: TaskSpec, report: StepReport) -> float:
    """Return the weighted sum of the terms that are always computed."""
    values = dict(zip(report.names, report.values, strict=True))
    return sum(values[f"loss/{term.name}"] for term in spec.terms if not term.component)
