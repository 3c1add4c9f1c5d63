"""Adaptive gradient clipping: ZClip by the history of the total norm, AGC by the weights.

`gradient_clip` remains the upper bound. All values stay on the device, without host synchronization. ZClip takes about
twenty scalar operations. AGC needs the norms of all tensors, which the step computes anyway, and one multiplication per
gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_DECAY = 0.97
_LIMIT = 2.5
_WARMUP = 25


class ZClip:
    """ZClip (Kumar et al. 2025, arXiv 2504.02507): limit an outlier of the norm to mean + limit^2 / z deviations.

    Mean and variance are exponential (decay 0.97, limit 2.5) and computed from clipped norms. The first 25 steps only
    initialise them. `statistics` is [count, mean, variance], the complete state.
    """

    def __init__(self, device: torch.device, statistics: Tensor | None = None):
        begun = torch.zeros(3, dtype=torch.float32) if statistics is None else statistics
        self.statistics = begun.to(device)

    def bound(self, total_norm: Tensor, finite: Tensor) -> Tensor:
        """Return the maximum norm of this step, infinite during warm-up.

        A finite step updates the statistics. `total_norm`, the boolean `finite` and the result are scalars (no axes).
        """
        total_norm = total_norm.float()
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
"""Maximum ratio of a gradient's norm to the norm of its weights."""
_LEAST_RMS = 1e-3
"""Minimum root mean square assumed for weights, so that weights initialised to zero can change."""


class WeightClip:
    """Adaptive gradient clipping (Brock et al. 2021, arXiv 2102.06171): limit a gradient to AGC_RATIO of its weights.

    It works per tensor, not per unit: norms of tensors exist already, norms of units need another pass.
    """

    def __init__(self) -> None:
        self._least: dict[tuple[int, ...], Tensor] = {}

    def clip(self, grads: Sequence[Tensor], grad_norms_G: Tensor, weight_norms_G: Tensor) -> Tensor:
        """Scale each of the G gradients in place. Return the resulting total norm."""
        allowed_G = AGC_RATIO * torch.maximum(weight_norms_G, self._least_norms(grads))
        scale_G = (allowed_G / grad_norms_G.clamp(min=torch.finfo(torch.float32).tiny)).clamp(max=1.0)
        torch._foreach_mul_(list(grads), list(scale_G.unbind()))  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        return (scale_G * grad_norms_G).square().sum().sqrt()

    def _least_norms(self, grads: Sequence[Tensor]) -> Tensor:
        """Return the norms of weights at their minimum root mean square.

        The result is cached, because copying it to the device would synchronize.
        """
        sizes = tuple(grad.numel() for grad in grads)
        if sizes not in self._least:
            self._least[sizes] = torch.tensor([_LEAST_RMS * size**0.5 for size in sizes], device=grads[0].device)
        return self._least[sizes]
