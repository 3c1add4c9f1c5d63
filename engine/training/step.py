"""One training step: forward, losses, backward, guard, update, report. The host synchronizes only at the end.

Shapes: N regions of interest, H x W pixels; T loss terms; G parameter tensors with a gradient; P parts of the network.

Finite checks before the update: every step checks the loss terms, the gradients and their weights, whose norms are
computed anyway. Every `guard.check_weights_every` steps, and at the first step after the optimizer was built or
restored, all weights and moments are checked too. This costs 1.3 ms for `tiny` and 16 ms for the published widths, more
than a hundredth of a step. Between these checks, a non-finite moment only damages its own weight in that update. The
norm of that weight reveals it before the next update.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.task import untapped
from engine.training.data.batch import Batch
from engine.training.finite_check import MOMENTS, WEIGHTS, norms_of_state
from engine.training.grad_clip import WeightClip, ZClip
from engine.training.grad_share import GradientTaps
from engine.training.loss_sum import Objective, loss_sum
from engine.training.optimizer import apply_learning_rates
from engine.training.step_plan import StepPlan


@dataclass(frozen=True, slots=True)
class StepReport:
    """Measurements of one step. `values` belong to `names`; `finite` is False if nothing was updated.

    `bad_modules` are parts with a non-finite gradient; `bad_weights` and `bad_moments` those with non-finite weights or
    moments. `weights_finite` is False if one of the latter two is not empty.
    """

    index: int
    names: tuple[str, ...]
    values: tuple[float, ...]
    finite: bool
    bad_terms: tuple[str, ...]
    bad_modules: tuple[str, ...]
    loss: float
    grad_norm: float
    clamp_hits: int
    weights_finite: bool
    bad_weights: tuple[str, ...] = ()
    bad_moments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PendingReport:
    """A step's measurements during their copy from the device; `resolve` waits for them.

    `vector` ends with a value for each of `extras`, which only some steps have.
    """

    plan: StepPlan
    parts: tuple[str, ...]
    extras: tuple[str, ...]
    vector: Tensor
    copied: torch.cuda.Event | None

    def resolve(self) -> StepReport:
        """Return the report on the host. Blocks until the device has finished the step."""
        if self.copied is not None:
            self.copied.synchronize()
        return _report(self.plan, self.parts, self.extras, self.vector.tolist())


_Extras = dict[str, Tensor]
"""Metrics that only some steps have, scalars on the device."""


@dataclass(frozen=True, slots=True)
class _Measured:
    """The step's gradients, and L2 norms of G gradients and their weights, and of P parts' gradients and weights."""

    parts: tuple[str, ...]
    grads: list[Tensor]
    by_tensor: Tensor
    by_part: Tensor


class TrainStep:
    """Executes steps of one network with one optimizer on one device."""

    def __init__(
        self,
        objective: Objective,
        model: nn.Module,
        optimizer: torch.optim.Adam,
        *,
        amp: torch.dtype | None = None,
    ):
        self.objective = objective
        self.model = model
        self.optimizer = optimizer
        self.device = next(model.parameters()).device
        self.amp = amp
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp is torch.float16)
        self.forward: nn.Module = model
        self.zclip = ZClip(self.device)
        self._weight_clip = WeightClip()
        self._parts = {name: [p for p in part.parameters() if p.requires_grad] for name, part in model.named_children()}
        self._checked: torch.optim.Optimizer | None = None
        self._check: tuple[tuple[str, ...], Tensor] = ((), torch.zeros(0, device=self.device))

    def run(self, batches: Sequence[Batch], plan: StepPlan) -> PendingReport:
        """Update the weights once from `batches`; their gradients are averaged over all regions.

        A non-finite step changes no parameter, moment or step counter. The loss scaler changes only if the loss was
        finite and the scaled gradient overflowed.
        """
        apply_learning_rates(self.optimizer, plan)
        taps = (
            GradientTaps(self.objective.task.spec, plan.max_grad_share)
            if plan.measure_shares or plan.max_grad_share
            else None
        )
        num_samples = sum(map(len, batches))
        losses = [self._backward(batch, plan, len(batch) / num_samples, taps) for batch in batches]
        loss_vector = torch.stack(losses).sum(0)
        loss_finite = torch.isfinite(loss_vector).all()
        if self.scaler.is_enabled() and bool(loss_finite):
            self.scaler.unscale_(self.optimizer)
        measured = self._measure()
        total_norm = measured.by_part[: len(measured.parts)].square().sum().sqrt()
        checked, check_norms = self._check_state(plan)
        norms = torch.cat([total_norm[None], measured.by_part])
        finite = loss_finite & torch.isfinite(torch.cat([norms, check_norms])).all()
        scale, clipped = self._clip(measured, total_norm, finite, plan)
        self._update(finite, scale)
        if self.scaler.is_enabled() and bool(loss_finite):
            self.scaler.update()
        extras = {**clipped, **(taps.measured() if taps else {})}
        vector = torch.cat([loss_vector, norms, *(value[None] for value in extras.values()), check_norms])
        return self._send(plan, measured.parts, (*extras, *checked), vector)

    def _backward(self, batch: Batch, plan: StepPlan, share: float, taps: GradientTaps | None = None) -> Tensor:
        """Run forward, losses and backward of one batch. Return [total, weighted T, raw T, hits T] times `share`."""
        tap = taps or untapped
        model = self.model if taps else self.forward  # uncompiled: a compiled network does not support hooks
        outputs = self.objective.outputs(model, batch.tensors, plan.active, tap, self.amp)
        losses = loss_sum(self.objective.terms(outputs, batch.tensors, plan.terms, tap), plan)
        if not (self.scaler.is_enabled() and not bool(torch.isfinite(losses.total))):
            self.scaler.scale(losses.total * share).backward()
        raw_T = torch.stack(list(losses.raw.values())).detach()
        weighted_T = torch.stack(list(losses.weighted.values())).detach()
        guarded_T = torch.tensor([term in plan.clamped for term in losses.raw], device=raw_T.device)
        hits_T = ((raw_T > plan.clamp_max) & guarded_T).float() / share
        return torch.cat([losses.total.detach()[None], weighted_T, raw_T, hits_T]) * share

    def _measure(self) -> _Measured:
        """Return L2 norms of every gradient and its weights, from one fused reduction."""
        trained = {name: [p for p in params if p.grad is not None] for name, params in self._parts.items()}
        trained = {name: params for name, params in trained.items() if params}
        sizes = [len(params) for params in trained.values()]
        weights = [p.detach() for params in trained.values() for p in params]
        grads = [p.grad for params in trained.values() for p in params if p.grad is not None]
        if not grads:
            return _Measured((), [], *[torch.zeros(0, device=self.device)] * 2)
        norms = torch.stack(torch._foreach_norm(grads + weights))  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        squares = norms.square().split(sizes * 2)
        return _Measured(tuple(trained), grads, norms, torch.stack([square.sum() for square in squares]).sqrt())

    def _check_state(self, plan: StepPlan) -> tuple[tuple[str, ...], Tensor]:
        """Return norms of all weights and moments, computed if due. The result is reused until the next check."""
        if plan.check_state or self._checked is not self.optimizer:
            self._checked = self.optimizer
            self._check = norms_of_state(self._parts, self.optimizer)
        return self._check

    def _clip(self, measured: _Measured, total_norm: Tensor, finite: Tensor, plan: StepPlan) -> tuple[Tensor, _Extras]:
        """Return the divisor of the gradient, and the adaptive bounds on its norm as metrics."""
        if plan.adaptive_clip == "zclip":
            bound = self.zclip.bound(total_norm, finite).clamp(max=plan.gradient_clip)
            return torch.clamp(total_norm / bound, min=1.0), {"clip/threshold": bound}
        if plan.adaptive_clip == "agc" and measured.grads:
            grad_norms, weight_norms = measured.by_tensor.chunk(2)
            total_norm = self._weight_clip.clip(measured.grads, grad_norms, weight_norms)
            scale = torch.clamp(total_norm / plan.gradient_clip, min=1.0)
            return scale, {"clip/threshold": total_norm.clamp(max=plan.gradient_clip)}
        return torch.clamp(total_norm / plan.gradient_clip, min=1.0), {}

    def _update(self, finite: Tensor, scale: Tensor) -> None:
        """Clip and update in the fused kernel. A non-finite step changes nothing."""
        kernel: Any = self.optimizer  # the stubs lack the attributes that the fused kernel reads
        kernel.grad_scale = scale
        kernel.found_inf = (~finite).float()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _send(self, plan: StepPlan, parts: tuple[str, ...], extras: tuple[str, ...], vector: Tensor) -> PendingReport:
        """Start the single copy to the host. On CUDA it overlaps the next step."""
        if self.device.type != "cuda":
            return PendingReport(plan, parts, extras, vector.cpu(), None)
        host = torch.empty_like(vector, device="cpu", pin_memory=True)
        host.copy_(vector, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        return PendingReport(plan, parts, extras, host, copied)


def _report(plan: StepPlan, parts: tuple[str, ...], extras: tuple[str, ...], values: list[float]) -> StepReport:
    """Return the report with the numbers of a step's vector by name, and the non-finite parts."""
    terms, guarded = plan.terms, [i for i, term in enumerate(plan.terms) if term in plan.clamped]
    count, num_parts = len(terms), len(parts)
    total, weighted, raw = values[0], values[1 : 1 + count], values[1 + count : 1 + 2 * count]
    hits, grad_norm = values[1 + 2 * count : 1 + 3 * count], values[1 + 3 * count]
    norms, rest = values[2 + 3 * count : 2 + 3 * count + 2 * num_parts], values[2 + 3 * count + 2 * num_parts :]
    grads, weights = norms[:num_parts], norms[num_parts:]
    more = {name: value for name, value in zip(extras, rest, strict=True)}
    checks = {name: more.pop(name) for name in extras if name.startswith((WEIGHTS, MOMENTS))}
    shown = {name: value for name, value in more.items() if _finite(value)}
    names = (
        "loss/total",
        *(f"loss/{term}" for term in terms),
        *(f"loss_raw/{term}" for term in terms),
        *(f"clamp_hits/{terms[i]}" for i in guarded),
        "grad_norm/total",
        *(f"grad_norm/{part}" for part in parts),
        *(f"weight_norm/{part}" for part in parts),
        *shown,
    )
    kept = (total, *weighted, *raw, *(hits[i] for i in guarded), grad_norm, *grads, *weights, *shown.values())
    bad_weights = _bad(parts, weights) or _bad(checks, checks.values(), WEIGHTS)
    bad_moments = _bad(checks, checks.values(), MOMENTS)
    return StepReport(
        index=plan.step,
        names=names,
        values=kept,
        finite=all(map(_finite, (*values[: len(values) - len(extras)], *checks.values()))),
        bad_terms=_bad(terms, raw),
        bad_modules=_bad(parts, grads),
        loss=total,
        grad_norm=grad_norm,
        clamp_hits=sum(int(hits[i]) for i in guarded),
        weights_finite=not bad_weights and not bad_moments,
        bad_weights=bad_weights,
        bad_moments=bad_moments,
    )


def _bad(names: Iterable[str], values: Iterable[float], kind: str = "") -> tuple[str, ...]:
    """Return the names with prefix `kind` and a non-finite value, without the prefix."""
    pairs = zip(names, values, strict=True)
    return tuple(name.removeprefix(kind) for name, value in pairs if name.startswith(kind) and not _finite(value))


def _finite(value: float) -> bool:
    return value - value == 0.0
