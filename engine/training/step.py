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
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engine.errors import UserError
from engine.protocol.record import record
from engine.task import untapped
from engine.training.averaging import WeightAverage
from engine.training.data.batch import Batch
from engine.training.device import PartTimer
from engine.training.gradients.batch_statistics import BatchStatistics
from engine.training.gradients.device_numbers import to_host
from engine.training.gradients.finite_check import norms_of_state
from engine.training.gradients.grad_clip import WeightClip, ZClip
from engine.training.gradients.grad_share import GradientTaps
from engine.training.gradients.layer_histogram import HistogramTaker
from engine.training.gradients.layer_probe import LayerProbe
from engine.training.gradients.step_report import PendingReport, VectorLayout
from engine.training.loss_sum import Objective, loss_sum
from engine.training.optimizer import apply_learning_rates, begin_moments
from engine.training.step_plan import StepPlan


class GradientExchange(Protocol):
    """The other ranks of a distributed training, as a step sees them."""

    world: int

    def reduce(self, loss_vector: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Add up the gradients of all ranks in place, and the loss vectors. Wait for all ranks.

        `share` is this rank's fraction of the samples. Return the sum of the vectors, and 1 for each rank that was not
        finite, else 0.
        """
        ...


_Extras = dict[str, Tensor]
"""Metrics that only some steps have, scalars on the device."""


@record
class _Measured:
    """The step's gradients, and L2 norms of G gradients and their weights, and of P parts' gradients and weights."""

    parts: tuple[str, ...]
    grads: list[Tensor]
    by_tensor: Tensor
    by_part: Tensor


@record
class Footing:
    """The state before a step, as far as `TrainStep.undo` needs it.

    `versions` count the changes of buffers that are no batch statistics; `clip` are those of the adaptive clip.
    """

    versions: tuple[int, ...]
    clip: Tensor


class TrainStep:
    """Executes steps of one network with one optimizer on one device; `forward` is the network or its compiled form.

    `part` is the part of the step that was begun last: forward, backward, guards or optimizer.
    """

    def __init__(
        self,
        objective: Objective,
        model: nn.Module,
        optimizer: torch.optim.Adam,
        *,
        amp: torch.dtype | None = None,
        forward: nn.Module | None = None,
    ):
        self.objective = objective
        self.model = model
        self.optimizer = optimizer
        self.device = next(model.parameters()).device
        self.amp = amp
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp is torch.float16)
        self.forward = model if forward is None else forward
        self.zclip = ZClip(self.device)
        self.ranks: GradientExchange | None = None
        self.average = WeightAverage(model, objective.config.training)
        self.part = ""
        self._weight_clip = WeightClip()
        self._layers = LayerProbe({"": model})
        self.histograms = HistogramTaker({"": model})
        self._guarded: dict[tuple[bool, ...], Tensor] = {}
        self._parts = {name: [p for p in part.parameters() if p.requires_grad] for name, part in model.named_children()}
        self._checked: torch.optim.Optimizer | None = None
        self._check: tuple[tuple[str, ...], Tensor] = ((), torch.zeros(0, device=self.device))
        self._timer = PartTimer(self.device)
        self._statistics = BatchStatistics(model)
        self._is_updating = False

    def footing(self) -> Footing:
        """Return the state before the next step, and copy the statistics that its forward passes change."""
        self.part, self._is_updating = "", False
        self._statistics.keep()
        return Footing(self._statistics.versions(), self.zclip.statistics)

    def undo(self, footing: Footing) -> bool:
        """Undo a step that failed: free its gradients, and restore the statistics of batch norms and of the clip.

        Return whether this restores the state before the step. It does not once the update of the weights has begun.
        """
        self.model.zero_grad(set_to_none=True)
        self._checked = None
        self._layers.begin()
        self.zclip.statistics = footing.clip
        self._statistics.restore()
        if self.scaler.is_enabled():  # it may hold unscaled gradients of the failed step
            scale = self.scaler.state_dict()
            self.scaler = torch.amp.GradScaler(self.device.type)
            self.scaler.load_state_dict(scale)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return not self._is_updating and self._statistics.versions() == footing.versions

    def run(self, batches: Sequence[Batch], plan: StepPlan) -> PendingReport:
        """Update the weights once from `batches`; their gradients are averaged over all regions.

        A non-finite step changes no parameter, moment, step counter, batch statistic or average. The loss scaler
        changes only if the loss was finite and the scaled gradient overflowed.
        """
        self._timer = PartTimer(self.device)
        apply_learning_rates(self.optimizer, plan)
        self._statistics.begin()
        taps = (
            GradientTaps(self.objective.task.spec, plan.max_grad_share)
            if plan.measure_shares or plan.max_grad_share
            else None
        )
        num_samples = sum(batch.total for batch in batches)
        self._layers.begin()
        self.histograms.begin()
        is_eager = taps is not None or self.forward is self.model
        with self._layers.watched(on=plan.measure_layers and is_eager), self.histograms.watched(on=is_eager):
            losses = [self._backward(batch, plan, len(batch) / num_samples, taps) for batch in batches if len(batch)]
        self.part = "guards"
        loss_vector, bad_ranks = self._gathered(losses, plan, sum(map(len, batches)) / max(num_samples, 1))
        loss_finite = torch.isfinite(loss_vector).all()
        if self.scaler.is_enabled() and bool(loss_finite):
            self.scaler.unscale_(self.optimizer)
        if plan.measure_layers:
            self._layers.note_gradients()
        if batches:  # a step without any is void: the ranks undo it
            self.histograms.note_gradients()
        measured = self._measure()
        total_norm = measured.by_part[: len(measured.parts)].square().sum().sqrt()
        checked, check_norms = self._check_state(plan)
        norms = torch.cat([total_norm[None], measured.by_part])
        finite = loss_finite & torch.isfinite(torch.cat([norms, check_norms])).all()
        scale, clipped = self._clip(measured, total_norm, finite, plan)
        self._timer.mark("guards")
        self.part = "optimizer"
        self._update(finite, scale)
        self._statistics.settle(finite)
        self._layers.note_update()
        if plan.averaged:
            self.average.update(finite)
        self._timer.mark("optimizer")
        if self.scaler.is_enabled() and bool(loss_finite):
            self.scaler.update()
        extras = {**clipped, **(taps.measured() if taps else {})}
        vector = torch.cat([loss_vector, norms, *(value[None] for value in extras.values()), check_norms, *bad_ranks])
        world = 0 if self.ranks is None else self.ranks.world
        return self._send(plan, VectorLayout(plan.terms, measured.parts, tuple(extras), checked, world), vector)

    def _gathered(self, losses: list[Tensor], plan: StepPlan, share: float) -> tuple[Tensor, Sequence[Tensor]]:
        """Return the sum of the loss vectors, over all ranks, and which of several ranks were not finite."""
        if self.ranks is None:
            return torch.stack(losses).sum(0), ()
        none = torch.zeros(1 + 3 * len(plan.terms), device=self.device)
        loss_vector, bad_ranks = self.ranks.reduce(torch.stack([none, *losses]).sum(0), share)
        self._timer.mark("exchange")
        return loss_vector, (bad_ranks,)

    def _backward(self, batch: Batch, plan: StepPlan, share: float, taps: GradientTaps | None = None) -> Tensor:
        """Run forward, losses and backward of one batch. Return [total, weighted T, raw T, hits T] times `share`."""
        self.part = "forward"
        tap = taps or untapped
        model = self.model if taps else self.forward  # uncompiled: a compiled network does not support hooks
        outputs = self.objective.outputs(model, batch.tensors, plan.active, tap, self.amp)
        losses = loss_sum(self.objective.terms(outputs, batch.tensors, plan.terms, tap), plan)
        self._timer.mark("forward")
        self.part = "backward"
        if not losses.total.requires_grad:
            raise _no_gradient(plan)
        if not (self.scaler.is_enabled() and not bool(torch.isfinite(losses.total))):
            self.scaler.scale(losses.total * share).backward()
        raw_T = torch.stack(list(losses.raw.values())).detach()
        weighted_T = torch.stack(list(losses.weighted.values())).detach()
        hits_T = ((raw_T > plan.clamp_max) & self._guarded_terms(losses.raw, plan)).float() / share
        vector = torch.cat([losses.total.detach()[None], weighted_T, raw_T, hits_T]) * share
        self._timer.mark("backward")
        return vector

    def _guarded_terms(self, terms: Iterable[str], plan: StepPlan) -> Tensor:
        """Return which of the terms are clamped, T booleans. Cached: a copy to the device would wait for it."""
        guarded = tuple(term in plan.clamped for term in terms)
        if guarded not in self._guarded:
            self._guarded[guarded] = torch.tensor(guarded, device=self.device)
        return self._guarded[guarded]

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
        kernel.grad_scale = scale.float()  # the fused kernel reads no other type
        kernel.found_inf = (~finite).float()
        begin_moments(self.optimizer)
        self._is_updating = True
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _send(self, plan: StepPlan, layout: VectorLayout, vector: Tensor) -> PendingReport:
        """Start the copies to the host; on CUDA they overlap the next step."""
        layers = self._layers.finish()
        host, copied = to_host(vector)
        self._timer.mark("guards")
        return PendingReport(plan, layout, host, copied, self._timer, layers, self.histograms.finish())


def _no_gradient(plan: StepPlan) -> UserError:
    return UserError(
        f"the loss of {', '.join(plan.terms)} has no gradient: losses() must compute it from the outputs of forward(), "
        "without detach(), no_grad() or set_grad_enabled(False)"
    )
