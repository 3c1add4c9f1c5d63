"""Validation: a task's scores and all loss terms over the validation split."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn

from engine.outputs.preview_file import Preview
from engine.protocol.events import ValidationCompleted
from engine.protocol.record import record
from engine.task import untapped
from engine.training.data.batch import Batch, Position
from engine.training.data.stream import BatchStream
from engine.training.loss_sum import Objective
from engine.training.validation.result import Validation, ValidationPlan
from engine.training.validation.shown_samples import chosen_previews, errors_of, previews_of, shown_rows


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
    is_last = False
    with validating(model):
        while not (is_last or abort()) and stream.wait(abort):
            found, is_last = measured(objective, model, stream, plan, Before(sums.count, sums.errors))
            sums.add(found)
        return summarise(sums, objective, plan, time.perf_counter() - started) if is_last else None


@contextmanager
def validating(model: nn.Module) -> Generator[None]:
    """Compute without gradients, and with the network in evaluation mode, during the block."""
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train()


def _terms(objective: Objective, plan: ValidationPlan) -> tuple[str, ...]:
    return objective.task.spec.active_terms(plan.active)


def sums_of(
    objective: Objective, outputs: Any, batch: Batch, plan: ValidationPlan, before: Before = _NOTHING_BEFORE
) -> Sums:
    """Return the sums of one batch from the network's outputs, with the previews that `plan` asks for."""
    raw = objective.terms(outputs, batch.tensors, _terms(objective, plan), untapped)
    raw_T = torch.stack(list(raw.values())).cpu().double()
    own = errors_of(objective, outputs, batch) if plan.num_previews else []
    return Sums(
        terms_T=raw_T * len(batch),
        scores=dict(objective.task.score(outputs, batch.tensors, objective.config)),
        count=len(batch),
        previews=previews_of(
            objective, outputs, batch, shown_rows(batch, plan, before.num_samples, (*before.errors, *own))
        ),
        errors=own,
        bad_samples=[] if bool(torch.isfinite(raw_T).all()) else list(batch.sample_ids),
    )


def summarise(sums: Sums, objective: Objective, plan: ValidationPlan, seconds: float) -> Validation:
    """Return the validation that the sums over the whole split make, which took `seconds`."""
    means = dict(zip(_terms(objective, plan), (sums.terms_T / sums.count).tolist(), strict=True))
    loss = sum(plan.weights[term] * mean for term, mean in means.items())
    told = objective.task.metrics(sums.scores, sums.count)
    metrics = {name: float(value) if isinstance(value, float) else value for name, value in told.items()}  # of NumPy
    summary = ValidationCompleted(loss, metrics, seconds, plan.averaged)
    return Validation(loss, summary, means, chosen_previews(sums.previews, sums.errors, plan), tuple(sums.bad_samples))
