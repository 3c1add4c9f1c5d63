"""Repeat a step up to the update, traced: same weights, batch, random numbers, number format and loss scale.

Shapes: T loss terms; P parts of the network with gradients.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from engine.forensics.capture import Evidence, input_name, kept_random_state, set_random_state
from engine.forensics.nan_tracer import Origin, Tracer
from engine.forensics.operations import reaches
from engine.forensics.tensor_stats import is_finite
from engine.protocol.record import record
from engine.task import Tap, untapped
from engine.training.data.batch import Batch
from engine.training.gradients.batch_statistics import kept_statistics
from engine.training.gradients.grad_share import GradientTaps
from engine.training.loss_sum import Objective, loss_sum
from engine.training.step_plan import StepPlan


@record
class Replayed:
    """Result of a replay. `loss` and `grad_norm` are as in the step's report, `terms` are raw.

    `origin` is the first non-finite tensor that influenced the result; `None` if all was finite or only a norm
    overflowed. `affected` are the loss terms on a path from or to it.
    """

    loss: float
    grad_norm: float
    terms: Mapping[str, float]
    norms: Mapping[str, float]
    origin: Origin | None
    affected: tuple[str, ...]

    @property
    def finite(self) -> bool:
        """Whether the step would have updated the weights. A hard clamp hides an infinite term from the loss."""
        return all(map(math.isfinite, (self.loss, self.grad_norm, *self.terms.values())))

    def numbers(self) -> tuple[float, ...]:
        """Return the numbers that must agree bit for bit between two deterministic replays of one step."""
        return (self.loss, self.grad_norm, *self.terms.values(), *self.norms.values())


@dataclass(slots=True)
class _Pass:
    """Data collected during one replay."""

    tracer: Tracer
    tap: Tap
    losses: list[Tensor] = field(default_factory=lambda: [])
    raw: list[dict[str, Tensor]] = field(default_factory=lambda: [])
    weighted: list[dict[str, Tensor]] = field(default_factory=lambda: [])
    origin: Origin | None = None


def replay(objective: Objective, model: nn.Module, evidence: Evidence, *, amp: torch.dtype | None) -> Replayed:
    """Run forward, losses and backward of the step in `evidence` with the current weights of `model`, in `amp` or fp32.

    Restores gradients, batch statistics and RNG state afterwards. Weights are not changed.
    """
    scale = evidence.scale if amp is torch.float16 else 1.0
    with _untouched(model, evidence):
        governed = evidence.plan.max_grad_share
        done = _Pass(Tracer(model), GradientTaps(objective.task.spec, governed) if governed else untapped)
        num_samples = sum(map(len, evidence.batches))
        _look_at_roots(done.tracer, model, evidence)
        with done.tracer.watching():
            for number, batch in enumerate(evidence.batches):
                done.tracer.batch, done.tracer.num_samples = number, len(batch)
                _take(done, (objective, model), evidence.plan, batch, (amp, scale, len(batch) / num_samples))
        return _summary(done, model, evidence, scale)


@contextmanager
def _untouched(model: nn.Module, evidence: Evidence) -> Generator[None]:
    device = next(model.parameters()).device
    grads = [parameter.grad for parameter in model.parameters()]
    with kept_random_state(device), kept_statistics(model):
        set_random_state(evidence.random, device)
        _set_grads(model, [None] * len(grads))
        try:
            yield
        finally:
            _set_grads(model, grads)


def _set_grads(model: nn.Module, grads: list[Tensor | None]) -> None:
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        parameter.grad = grad


def _look_at_roots(tracer: Tracer, model: nn.Module, evidence: Evidence) -> None:
    for number, batch in enumerate(evidence.batches):
        tracer.batch, tracer.num_samples = number, len(batch)
        for name, tensor in batch.tensors.items():
            tracer.root(tensor, "input", "", input_name(name))
    for name, parameter in model.named_parameters():
        module, _, own = name.rpartition(".")
        tracer.root(parameter.detach(), "weight", module, own)


def _take(
    done: _Pass,
    what: tuple[Objective, nn.Module],
    plan: StepPlan,
    batch: Batch,
    how: tuple[torch.dtype | None, float, float],
) -> None:
    """Process one batch as the step does; `how` is the number format, the loss scale and the batch's share."""
    (objective, model), (amp, scale, share) = what, how
    outputs = objective.outputs(model, batch.tensors, plan.active, done.tap, amp)
    losses = loss_sum(objective.terms(outputs, batch.tensors, plan.terms, done.tap), plan)
    done.raw.append(losses.raw)
    done.weighted.append(losses.weighted)
    done.losses.append(losses.total.detach() * share)
    ends = [end.detach() for end in (losses.total, *losses.raw.values())]
    if done.origin is None and not all(map(is_finite, ends)):
        done.origin = done.tracer.origin_of(ends)
    if is_finite(losses.total.detach()):
        (losses.total * share * scale).backward()


def _summary(done: _Pass, model: nn.Module, evidence: Evidence, scale: float) -> Replayed:
    grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    loss = float(torch.stack(done.losses).sum())
    origin = done.origin or done.tracer.origin_of(grads.values())
    shares = [len(batch) for batch in evidence.batches]
    terms = {
        term: sum(float(raw[term].detach()) * share for raw, share in zip(done.raw, shares, strict=True)) / sum(shares)
        for term in evidence.plan.terms
    }
    norms = _norms_by_part(grads, scale)
    return Replayed(
        loss=loss,
        grad_norm=float(torch.tensor(list(norms.values())).square().sum().sqrt()) if norms else math.nan,
        terms=terms,
        norms=norms,
        origin=origin,
        affected=_affected(done, origin) if origin else (),
    )


def _norms_by_part(grads: Mapping[str, Tensor], scale: float) -> dict[str, float]:
    """Return the L2 norm of each part's unscaled gradient in float32, as in the step: its square may overflow."""
    parts: dict[str, list[Tensor]] = {}
    for name, grad in grads.items():
        parts.setdefault(name.partition(".")[0], []).append((grad / scale).norm().float())
    return {part: float(torch.stack(norms).square().sum().sqrt()) for part, norms in parts.items()}


def _affected(done: _Pass, origin: Origin) -> tuple[str, ...]:
    """Return the terms that are not finite because of `origin`, or whose gradient passes through it."""
    raw, weighted = done.raw[origin.batch], done.weighted[origin.batch]
    if origin.direction != "backward":
        ends = {term: (raw[term].detach(), weighted[term].detach()) for term in raw}
        return tuple(term for term, both in ends.items() if not all(map(is_finite, both)))
    through: Any = origin.sequence
    return tuple(
        term for term, value in weighted.items() if value.grad_fn is not None and reaches(value.grad_fn, through)
    )
