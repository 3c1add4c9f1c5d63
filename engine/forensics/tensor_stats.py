"""Whether a tensor is finite, and its statistics for a report."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.outputs.fault_report import TensorStats


def is_finite(tensor: Tensor) -> bool:
    """Return whether no entry is NaN or infinite.

    One pass that also propagates NaN, much cheaper than isfinite().all().
    """
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    low, high = torch.aminmax(tensor.detach())
    return math.isfinite(float(low)) and math.isfinite(float(high))


def stats_of(name: str, tensor: Tensor) -> TensorStats:
    """Return the statistics of a tensor."""
    flat = tensor.detach().float().flatten()
    finite = flat[torch.isfinite(flat)]
    low, high, mean = (
        (float(x) for x in (finite.min(), finite.max(), finite.double().mean())) if len(finite) else (math.nan,) * 3
    )
    return TensorStats(
        name=name,
        dtype=str(tensor.dtype).removeprefix("torch."),
        shape=tuple(tensor.shape),
        low=low,
        high=high,
        mean=mean,
        num_zero=int((flat == 0).sum()),
        num_nan=int(torch.isnan(flat).sum()),
        num_inf=int(torch.isinf(flat).sum()),
    )
