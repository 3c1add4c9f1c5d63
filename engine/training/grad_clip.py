"""Clipping that adapts: ZClip to the history of the total norm, AGC to the weights; `gradient_clip` stays the ceiling.

Everything stays on the device: no value is read by the host. ZClip takes some twenty operations on scalars. AGC needs
the norms of all tensors, which the step has anyway, and one multiplication of each gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_DECAY = 0.97
_LIMIT = 2.5
_WARMUP = 25


class ZClip:
    """Kumar et al. 2025 (arXiv 2504.02507): an outlier of the norm is held to mean + limit^2 / z deviations.

    Mean and variance are exponential (decay 0.97, limit 2.5), taken over norms as clipped here; the first 25 steps only
    fill them. `statistics` is [count, mean, variance], all that must be saved.
    """

    def __init__(self, device: torch.device, statistics: Tensor | None = None):
        self.statistics = torch.zeros(3, device=device) if statistics is None else statistics.to(device)

    def bound(self, total_norm: Tensor, finite: Tensor) -> Tensor:
        """The norm to hold this step to, infinite in the warm-up; takes the step in, unless it is not finite."""
        count, mean, variance = self.statistics.unbind()
        deviation = variance.sqrt() + 1e-6
        score = (total_norm - mean) / deviation
        is_warm = count >= _WARMUP
        outlier = mean + _LIMIT**2 / score.clamp(min=_LIMIT) * deviation
        held = torch.where(is_warm & (score > _LIMIT), outlier, total_norm)
        decay = (count / (count + 1)).clamp(max=_DECAY)
        moved = decay * (variance + (1 - decay) * (held - mean).square())
        after = torch.stack([count + 1, decay * mean + (1 - decay) * held, moved])
        self.statistics = torch.where(finite, after, self.statistics)
        return torch.where(is_warm, outlier, torch.inf)


AGC_RATIO = 0.1
"""Most that a gradient's norm may be of its weights' norm."""
_LEAST_RMS = 1e-3
"""Root mean square that weights are taken to have at least: those that start at zero must be able to leave it."""


class WeightClip:
    """Adaptive gradient clipping (Brock et al. 2021, arXiv 2102.06171): a gradient is held to AGC_RATIO of its weights.

    By tensor rather than by unit: its norms are there already, a unit's would be another pass over all gradients.
    """

    def __init__(self) -> None:
        self._least: dict[tuple[int, ...], Tensor] = {}

    def clip(self, grads: Sequence[Tensor], grad_norms_G: Tensor, weight_norms_G: Tensor) -> Tensor:
        """Scale each of the G gradients in place; returns the total norm that is left."""
        allowed_G = AGC_RATIO * torch.maximum(weight_norms_G, self._least_norms(grads))
        scale_G = (allowed_G / grad_norms_G.clamp(min=torch.finfo(torch.float32).tiny)).clamp(max=1.0)
        torch._foreach_mul_(list(grads), list(scale_G.unbind()))  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        return (scale_G * grad_norms_G).square().sum().sqrt()

    def _least_norms(self, grads: Sequence[Tensor]) -> Tensor:
        """The norms of weights at their least root mean square, kept: a copy to the device would wait for it."""
        sizes = tuple(grad.numel() for grad in grads)
        if sizes not in self._least:
            self._least[sizes] = torch.tensor([_LEAST_RMS * size**0.5 for size in sizes], device=grads[0].device)
        return self._least[sizes]
