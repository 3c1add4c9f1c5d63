"""Each refinement's share of the gradient where it meets the shared network: measured, and bounded if asked.

A refinement meets the network at one junction: the shared features for the heads (contour_detection,
distance_transform, progressive_upsampling, subpixel_conv), the class log-probabilities before refinement for
boundary_refinement, and after it for those that are only a loss (boundary_aware_loss, active_contour_loss).

Its share is |g_r| / (|g_base| + sum of |g_s|): L2 norms of the gradients that flow into the junction from the
refinement, from all that is no refinement together, and from every refinement s. Shares lie in 0..1 and those of a
junction sum to 1 with the base's. All flows are seen in the one backward pass: no second one is needed, and a step that
is not measured has no trace of this. What a loss brings to the log-probabilities thins out below them as all that comes
through them does, so a share there is at least as large as at the trunk.

The governor scales a refinement's flow at the junction, in the same step and exactly, so that
|g_r| <= |g_base| max / (1 - max): beside the base alone its share is then at most `max`, and beside others less. A
head's own parameters keep their full gradient. A gradient that is not finite stays so, for the step's guard to see.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from engine.protocol.task_spec import TaskSpec


class GradientTaps:
    """The taps of one step of the task `spec`, through all of its batches; `max_share` 0 measures only."""

    def __init__(self, spec: TaskSpec, max_share: float = 0.0):
        self._junction_of = {component.name: component.reads for component in spec.components}
        self._max_share = max_share
        self._flows: dict[str, dict[str, Tensor]] = {}
        self._norms: dict[str, list[Tensor]] = {}
        self._bases: dict[str, list[Tensor]] = {}
        self._scales: dict[str, list[Tensor]] = {}

    def __call__(self, consumer: str, read: Tensor) -> Tensor:
        """A view of `read` for the refinement `consumer`, whose gradient is noted when the backward pass comes by."""
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
        """All flows have arrived: note their norms, and give back the gradient with the large ones scaled down."""
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
        """Metrics by name, scalars on the device: grad_share/<refinement>, and governor/<refinement> where governed.

        Empty where no gradient flowed. Over several batches norms are added and scales averaged.
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
    """The factor (0..1) on a gradient of `norm` that holds it to `max_share` beside the base's; NaN for a NaN."""
    return (base * (max_share / (1 - max_share)) / _above_zero(norm)).clamp(max=1.0)


def _norm(gradient: Tensor) -> Tensor:
    return torch.linalg.vector_norm(gradient, dtype=torch.float32)


def _above_zero(norm: Tensor) -> Tensor:
    return norm.clamp(min=torch.finfo(torch.float32).tiny)
