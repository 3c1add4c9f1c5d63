"""Validation: a task's scores and all loss terms over the validation split."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn

from engine.errors import UserError
from engine.outputs.preview_file import Preview
from engine.protocol.events import AlertRaised, ValidationCompleted
from engine.protocol.record import record
from engine.task import HasPreviews, HasSampleErrors, untapped
from engine.training.data.batch import Batch, Position
from engine.training.data.stream import BatchStream
from engine.training.loss_sum import Objective

_MOST_NAMED = 6


@record
class Validation:
    """The loss, the scores, the mean of every raw loss term, a few previews, and the samples of non-finite batches."""

    loss: float
    summary: ValidationCompleted
    terms: Mapping[str, float]
    previews: tuple[Preview, ...]
    bad_samples: tuple[str, ...] = ()

    def doubt(self, step: int) -> AlertRaised | None:
        """Return an alert if the validation at `step` was not finite, else `None`."""
        if math.isfinite(self.loss):
            return None
        terms = ", ".join(term for term, value in self.terms.items() if not math.isfinite(value)) or "the loss"
        more = len(self.bad_samples) - _MOST_NAMED
        listed = ", ".join(self.bad_samples[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        return AlertRaised(
            "validation",
            f"the validation at step {step} is not finite in {terms}: its scores are invalid; its batches: {listed}",
            "disable mixed precision if it is on, check these samples, or roll back to the last good checkpoint",
            at_step=step,
        )


@record
class ValidationPlan:
    """Settings of a validation.

    Active components, loss weights, batch size, number of previews, and reduced precision or `None`. Previews are made
    of the first `num_previews` samples of the split, of the `num_worst` with the largest errors, and of `remembered`.
    `averaged` is how the weights are averaged, an empty string for the trained ones.
    """

    active: frozenset[str]
    weights: Mapping[str, float]
    batch_size: int
    num_previews: int
    amp: torch.dtype | None
    num_worst: int = 0
    remembered: frozenset[str] = frozenset()
    averaged: str = ""


@dataclass(slots=True)
class Sums:
    """Sums accumulated over the validation split, or over a batch of it, with the error of each sample."""

    terms_T: Tensor
    scores: dict[str, Tensor] = field(default_factory=lambda: {})
    count: int = 0
    previews: list[Preview] = field(default_factory=lambda: [])
    errors: list[float] = field(default_factory=lambda: [])
    bad_samples: list[str] = field(default_factory=lambda: [])

    @staticmethod
    def of(objective: Objective, plan: ValidationPlan) -> Sums:
        """Return sums of nothing."""
        return Sums(torch.zeros(len(_terms(objective, plan)), dtype=torch.float64))

    def add(self, more: Sums) -> None:
        """Add sums, in the order of the batches: the result then has the same bits however they were computed."""
        self.terms_T += more.terms_T
        for name, value in more.scores.items():
            self.scores[name] = self.scores[name] + value if name in self.scores else value
        self.count += more.count
        self.previews += more.previews
        self.errors += more.errors
        self.bad_samples += more.bad_samples


@record
class Before:
    """The samples of the split before a batch: their number, and the errors of those that were measured here."""

    num_samples: int = 0
    errors: Sequence[float] = ()


_NOTHING_BEFORE: Final = Before()

Measure: TypeAlias = Callable[[Objective, nn.Module, BatchStream, ValidationPlan, Before], tuple[Sums, bool]]
"""Measures the next batch of a stream: `measure_next`, or another way to the same sums."""


def measure_next(
    objective: Objective, model: nn.Module, stream: BatchStream, plan: ValidationPlan, before: Before
) -> tuple[Sums, bool]:
    """Return the sums of the stream's next batch, and whether it is the last of the split."""
    batch = stream.next()
    return measure(objective, model, batch, plan, before), batch.ends_epoch


def measure(objective: Objective, model: nn.Module, batch: Batch, plan: ValidationPlan, before: Before) -> Sums:
    """Return the sums of one batch, which is moved to the model's device, with previews."""
    held = batch.to(next(model.parameters()).device)
    outputs = objective.outputs(model, held.tensors, plan.active, untapped, plan.amp)
    return sums_of(objective, outputs, held, plan, before)


def evaluate(
    objective: Objective,
    model: nn.Module,
    stream: BatchStream,
    plan: ValidationPlan,
    abort: Callable[[], bool] = lambda: False,
    measured: Measure = measure_next,
) -> Validation | None:
    """Validate on the whole split without augmentation. Return `None` if `abort()` returned True meanwhile.

    It draws no random numbers and leaves the network in training mode, so training is equal with and without it.
    `measured` measures the next batch.
    """
    started = time.perf_counter()
    sums = Sums.of(objective, plan)
    stream.reseat(Position(), plan.batch_size)
    model.eval()
    try:
        with torch.no_grad():
            while not abort() and stream.wait(abort):
                found, is_last = measured(objective, model, stream, plan, Before(sums.count, sums.errors))
                sums.add(found)
                if is_last:
                    return summarise(sums, objective, plan, time.perf_counter() - started)
    finally:
        model.train()
    return None


def _terms(objective: Objective, plan: ValidationPlan) -> tuple[str, ...]:
    return objective.task.spec.active_terms(plan.active)


def sums_of(
    objective: Objective, outputs: Any, batch: Batch, plan: ValidationPlan, before: Before = _NOTHING_BEFORE
) -> Sums:
    """Return the sums of one batch from the network's outputs, with the previews that `plan` asks for."""
    raw = objective.terms(outputs, batch.tensors, _terms(objective, plan), untapped)
    raw_T = torch.stack(list(raw.values())).cpu().double()
    own = _errors(objective, outputs, batch) if plan.num_previews else []
    return Sums(
        terms_T=raw_T * len(batch),
        scores=dict(objective.task.score(outputs, batch.tensors, objective.config)),
        count=len(batch),
        previews=_previews(objective, outputs, batch, _shown(batch, plan, before.num_samples, (*before.errors, *own))),
        errors=own,
        bad_samples=[] if bool(torch.isfinite(raw_T).all()) else list(batch.sample_ids),
    )


def _errors(objective: Objective, outputs: Any, batch: Batch) -> list[float]:
    """Return the error of each sample of a batch; an empty list if the task does not measure it."""
    task = objective.task
    if not isinstance(task, HasSampleErrors):
        return []
    errors_N = task.sample_errors(outputs, batch.tensors, objective.config)
    if tuple(errors_N.shape) != (len(batch),):
        raise UserError(f"sample_errors() must return one number per sample, not the shape {tuple(errors_N.shape)}")
    return errors_N.tolist()


def _shown(batch: Batch, plan: ValidationPlan, place: int, errors: Sequence[float]) -> dict[int, int]:
    """Return the rows of a batch to preview, each with its place in the split.

    A sample that is not among the worst up to its batch is not among the worst of the split.
    """
    if not plan.num_previews:
        return {}
    before = len(errors) - len(batch)
    rows = {at - before for at in _worst_first(errors)[: plan.num_worst] if at >= before}
    rows |= {row for row, name in enumerate(batch.sample_ids) if name in plan.remembered}
    rows |= set(range(min(len(batch), max(plan.num_previews - place, 0))))
    return {row: place + row for row in sorted(rows)}


def _worst_first(errors: Sequence[float]) -> list[int]:
    """Return the places of the finite errors in descending order; of equal ones the first comes first."""
    return sorted((at for at, error in enumerate(errors) if math.isfinite(error)), key=lambda at: -errors[at])


def _previews(objective: Objective, outputs: Any, batch: Batch, shown: Mapping[int, int]) -> list[Preview]:
    """Return previews of rows of a batch; an empty list if the task has no previews."""
    task = objective.task
    if not isinstance(task, HasPreviews):
        return []
    return [
        replace(task.preview(outputs, batch.tensors, batch.sample_ids[row], row), place=place)
        for row, place in shown.items()
    ]


def _chosen(sums: Sums, plan: ValidationPlan) -> tuple[Preview, ...]:
    """Return one preview of each sample to show with its error: the first of the split, the worst and remembered."""
    ranks = {at: rank for rank, at in enumerate(_worst_first(sums.errors), 1)}
    found: dict[str, Preview] = {}
    for preview in sums.previews:
        place, rank = preview.place, ranks.get(preview.place, 0)
        is_shown = place < plan.num_previews or 0 < rank <= plan.num_worst or preview.sample_id in plan.remembered
        if is_shown and preview.sample_id not in found:
            error = sums.errors[place] if sums.errors else math.nan
            found[preview.sample_id] = replace(preview, error=error, rank=rank)
    return tuple(found.values())


def summarise(sums: Sums, objective: Objective, plan: ValidationPlan, seconds: float) -> Validation:
    """Return the validation that the sums over the whole split make, which took `seconds`."""
    means = dict(zip(_terms(objective, plan), (sums.terms_T / sums.count).tolist(), strict=True))
    loss = sum(plan.weights[term] * mean for term, mean in means.items())
    told = objective.task.metrics(sums.scores, sums.count)
    metrics = {name: float(value) if isinstance(value, float) else value for name, value in told.items()}  # of NumPy
    summary = ValidationCompleted(loss, metrics, seconds, plan.averaged)
    return Validation(loss, summary, means, _chosen(sums, plan), tuple(sums.bad_samples))
