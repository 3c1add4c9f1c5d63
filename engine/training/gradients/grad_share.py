"""Measure each refinement's share of the gradient at its junction with the shared network, and limit it on request.

A refinement meets the network at one junction. For heads (contour_detection, distance_transform,
progressive_upsampling, subpixel_conv) it is the shared features. For boundary_refinement it is the class
log-probabilities before refinement. For refinements that consist of a loss (boundary_aware_loss, active_contour_loss)
it is the log-probabilities after refinement.

The share is |g_r| / (|g_base| + sum of |g_s|), from L2 norms of the gradients into the junction. g_r comes from the
refinement, g_base from everything else together, and s runs over all refinements. Shares lie in 0..1; with the base's
share, those of a junction sum to 1. All gradients are measured in the same backward pass. Steps without measurement
have no overhead. Below the log-probabilities, the gradient of a loss shrinks like all others. Its share there is
therefore at least as large as at the trunk.

The governor scales a refinement's gradient at the junction, in the same step and exactly, so that |g_r| <= |g_base| max
/ (1 - max). With the base alone its share is then at most `max`, with other refinements less. A head's own parameters
keep their full gradient. Non-finite gradients stay non-finite for the step's guard.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from engine.protocol.task_spec import TaskSpec


class GradientTaps:
    """The taps of one step of the task `spec`, for all its batches; with `max_share` 0 they only measure."""

    def __init__(self, spec: TaskSpec, max_share: float = 0.0):
        self._junction_of = {component.name: component.reads for component in spec.components}
        self._max_share = max_share
        self._flows: dict[str, dict[str, Tensor]] = {}
        self._norms: dict[str, list[Tensor]] = {}
        self._bases: dict[str, list[Tensor]] = {}
        self._scales: dict[str, list[Tensor]] = {}

    def __call__(self, consumer: str, read: Tensor) -> Tensor:
        """Return a view of `read` for the refinement `consumer`; its gradient is recorded in the backward pass."""
        if not read.requires_grad:
            return read
        junction = self._junction_of[consumer]
        if junction not in self._flows:
            self._flows[junction] = {}
            read.register_hook(partial(self._meet, junction))
        view = read.view_as(read)
        view.register_hook(partial(self._note, junction, consumer))
        return view

    def _note(self, junction: str, consumer: str, flow: Tensor) -> None:
        self._flows[junction][consumer] = flow

    def _meet(self, junction: str, total: Tensor) -> Tensor | None:
        """Record the norms of all gradients at a junction.

        Return their sum with large ones scaled down, or `None` if unchanged.
        """
        flows = self._flows.pop(junction)
        base = _norm(total - sum(flows.values())) if flows else _norm(total)
        self._bases.setdefault(junction, []).append(base)
        governed = total
        for name, flow in flows.items():
            norm = _norm(flow)
            if self._max_share:
                scale = held_scale(norm, base, self._max_share)
                governed = governed - (1 - scale).to(flow.dtype) * flow
                norm = scale * norm
                self._scales.setdefault(name, []).append(scale)
            self._norms.setdefault(name, []).append(norm)
        return governed if self._max_share else None

    def measured(self) -> dict[str, Tensor]:
        """Return metrics by name, scalars on the device: grad_share/<refinement> and governor/<refinement>.

        The result is empty if no gradient was recorded. Only governed refinements have the latter. Over several batches
        norms are summed and scales averaged.
        """
        norms = {name: torch.stack(found).sum() for name, found in self._norms.items()}
        sums = {junction: torch.stack(found).sum() for junction, found in self._bases.items()}
        for name, norm in norms.items():
            sums[self._junction_of[name]] = sums[self._junction_of[name]] + norm
        shares = {
            f"grad_share/{name}": norm / _above_zero(sums[self._junction_of[name]]) for name, norm in norms.items()
        }
        scales = {f"governor/{name}": torch.stack(found).mean() for name, found in self._scales.items()}
        return {**shares, **scales}


def held_scale(norm: Tensor, base: Tensor, max_share: float) -> Tensor:
    """Return the factor (0..1) that limits a gradient of `norm` to `max_share` relative to the base; NaN for NaN."""
    return (base * (max_share / (1 - max_share)) / _above_zero(norm)).clamp(max=1.0)


def _norm(gradient: Tensor) -> Tensor:
    return torch.linalg.vector_norm(gradient, dtype=torch.float32)


def _above_zero(norm: Tensor) -> Tensor:
    return norm.clamp(min=torch.finfo(torch.float32).tiny)
