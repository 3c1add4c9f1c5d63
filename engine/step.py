"""One training step, flat: forward, losses, backward, guard, update, report. No hook, no host sync before the end.

Shapes: N regions of interest, H x W pixels; T loss terms; G parameter tensors with a gradient; P parts of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.data.batch import Batch
from engine.losses.clamp import clamp_loss
from engine.losses.terms import term_values
from engine.model.network import HierarchicalUNet
from engine.optim import apply_learning_rates
from engine.plan import StepPlan
from engine.protocol.names import REFINEMENT_OF_TERM


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one step measured. `values` belong to `names`; `finite` is False when nothing was updated."""

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


@dataclass(frozen=True, slots=True)
class PendingReport:
    """A step's measurements on their way from the device; `resolve` waits for them."""

    plan: StepPlan
    parts: tuple[str, ...]
    vector: Tensor
    copied: torch.cuda.Event | None

    def resolve(self) -> StepReport:
        """The report on the host; blocks until the device has finished the step."""
        if self.copied is not None:
            self.copied.synchronize()
        return _report(self.plan, self.parts, self.vector.tolist())


class Stepper:
    """Runs steps of one network with one optimizer on one device."""

    def __init__(self, model: HierarchicalUNet, optimizer: torch.optim.Adam, *, amp: torch.dtype | None = None):
        self.model = model
        self.optimizer = optimizer
        self.device = next(model.parameters()).device
        self.amp = amp
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp is torch.float16)
        self.forward: nn.Module = model
        self._parts = {name: [p for p in part.parameters() if p.requires_grad] for name, part in model.parts().items()}

    def run(self, batches: Sequence[Batch], plan: StepPlan) -> PendingReport:
        """One update from `batches` (their gradients averaged by region). A non-finite step changes no parameter,
        moment or step counter; the loss scaler moves only where the loss was finite and the scaled gradient overflowed.
        """
        apply_learning_rates(self.optimizer, plan)
        num_rois = sum(len(batch.label_NHW) for batch in batches)
        losses = [self._backward(batch, plan, len(batch.label_NHW) / num_rois) for batch in batches]
        loss_vector = torch.stack(losses).sum(0)
        loss_finite = torch.isfinite(loss_vector).all()
        if self.scaler.is_enabled() and bool(loss_finite):
            self.scaler.unscale_(self.optimizer)
        parts, norms = self._norms()
        total_norm = norms[: len(parts)].square().sum().sqrt()
        finite = loss_finite & torch.isfinite(total_norm)
        self._update(finite, total_norm, plan.gradient_clip)
        if self.scaler.is_enabled() and bool(loss_finite):
            self.scaler.update()
        vector = torch.cat([loss_vector, total_norm[None], norms])
        return self._send(plan, parts, vector)

    def _backward(self, batch: Batch, plan: StepPlan, share: float) -> Tensor:
        """Forward, losses and backward of one batch; returns [total, weighted T, raw T, hits T] times share."""
        with torch.autocast(self.device.type, dtype=self.amp, enabled=self.amp is not None):
            outputs = self.forward(batch.image_N3HW, plan.active)
        raw = term_values(outputs, batch.label_NHW, batch.distance_N1HW, plan.terms, plan.class_weights)
        bounded = {term: self._bounded(term, value, plan) for term, value in raw.items()}
        weighted = [plan.weights[term] * value for term, value in bounded.items()]
        total = torch.stack(weighted).sum()
        if not (self.scaler.is_enabled() and not bool(torch.isfinite(total))):
            self.scaler.scale(total * share).backward()
        raw_T = torch.stack(list(raw.values())).detach()
        guarded_T = torch.tensor([term in REFINEMENT_OF_TERM for term in raw], device=raw_T.device)
        hits_T = ((raw_T > plan.clamp_max) & guarded_T).float() / share
        return torch.cat([total.detach()[None], torch.stack(weighted).detach(), raw_T, hits_T]) * share

    def _bounded(self, term: str, value: Tensor, plan: StepPlan) -> Tensor:
        """Refinement losses are clamped (SEED.md); the base terms are not."""
        return clamp_loss(value, plan.clamp_max, plan.clamp_mode) if term in REFINEMENT_OF_TERM else value

    def _norms(self) -> tuple[tuple[str, ...], Tensor]:
        """L2 norms by part that has gradients: P of gradients, then P of weights, in one fused reduction each."""
        trained = {name: [p for p in params if p.grad is not None] for name, params in self._parts.items()}
        trained = {name: params for name, params in trained.items() if params}
        sizes = [len(params) for params in trained.values()]
        weights = [p.detach() for params in trained.values() for p in params]
        grads = [p.grad for params in trained.values() for p in params if p.grad is not None]
        if not grads:
            return (), torch.full((0,), torch.nan, device=self.device)
        norms = torch.stack(torch._foreach_norm(grads + weights))  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        squares = norms.square().split(sizes * 2)
        return tuple(trained), torch.stack([square.sum() for square in squares]).sqrt()

    def _update(self, finite: Tensor, total_norm: Tensor, clip: float) -> None:
        """Clip and update in the fused kernel, or, where the step is not finite, leave everything as it was."""
        kernel: Any = self.optimizer  # what the fused kernel reads is not in the stubs
        kernel.grad_scale = torch.clamp(total_norm / clip, min=1.0)
        kernel.found_inf = (~finite).float()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _send(self, plan: StepPlan, parts: tuple[str, ...], vector: Tensor) -> PendingReport:
        """Start the one copy to the host; on CUDA it runs beside the next step."""
        if self.device.type != "cuda":
            return PendingReport(plan, parts, vector.cpu(), None)
        host = torch.empty_like(vector, device="cpu", pin_memory=True)
        host.copy_(vector, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        return PendingReport(plan, parts, host, copied)


def _report(plan: StepPlan, parts: tuple[str, ...], values: list[float]) -> StepReport:
    """Name the numbers of a step's vector and say what was not finite."""
    terms, guarded = plan.terms, [i for i, term in enumerate(plan.terms) if term in REFINEMENT_OF_TERM]
    count = len(terms)
    total, weighted, raw = values[0], values[1 : 1 + count], values[1 + count : 1 + 2 * count]
    hits = values[1 + 2 * count : 1 + 3 * count]
    grad_norm, norms = values[1 + 3 * count], values[2 + 3 * count :]
    grads, weights = norms[: len(parts)], norms[len(parts) :]
    names = (
        "loss/total",
        *(f"loss/{term}" for term in terms),
        *(f"loss_raw/{term}" for term in terms),
        *(f"clamp_hits/{terms[i]}" for i in guarded),
        "grad_norm/total",
        *(f"grad_norm/{part}" for part in parts),
        *(f"weight_norm/{part}" for part in parts),
    )
    kept = (total, *weighted, *raw, *(hits[i] for i in guarded), grad_norm, *grads, *weights)
    bad_terms = tuple(term for term, value in zip(terms, raw, strict=True) if not _finite(value))
    bad_modules = tuple(part for part, value in zip(parts, grads, strict=True) if not _finite(value))
    finite = _finite(total) and _finite(grad_norm)
    return StepReport(
        index=plan.step,
        names=names,
        values=kept,
        finite=finite,
        bad_terms=bad_terms,
        bad_modules=bad_modules,
        loss=total,
        grad_norm=grad_norm,
        clamp_hits=sum(int(hits[i]) for i in guarded),
        weights_finite=all(map(_finite, weights)),
    )


def _finite(value: float) -> bool:
    return value - value == 0.0
