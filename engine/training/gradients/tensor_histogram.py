"""Count a histogram of tensors on the device. This module is also loaded into foreign programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from ...outputs.inspection.layer_histograms import Histogram
from ...protocol.record import record

NUM_BINS: Final = 64
_CHUNK: Final = 1 << 22
"""Values that are counted together: a large layer takes little memory."""


@record
class Counts:
    """A histogram of `total` values on the device: whole numbers, and the ranges and sums."""

    total: int
    whole: Tensor
    numbers: Tensor

    def resolve(self) -> Histogram:
        """Return the histogram; waits for the device."""
        zeros, nans, infinities, *bins = (int(number) for number in self.whole.tolist())
        low, high, sum_of_values, sum_of_squares, low_exponent, high_exponent = map(float, self.numbers.tolist())
        finite = self.total - nans - infinities
        mean = sum_of_values / finite if finite else math.nan
        std = math.sqrt(max(sum_of_squares / finite - mean * mean, 0.0)) if finite else math.nan
        return Histogram(
            count=self.total,
            zeros=zeros,
            nans=nans,
            infinities=infinities,
            low=low if finite else math.nan,
            high=high if finite else math.nan,
            mean=mean,
            std=std,
            sum_of_squares=sum_of_squares,
            bins=tuple(bins[:NUM_BINS]),
            low_exponent=low_exponent if finite > zeros else math.nan,
            high_exponent=high_exponent if finite > zeros else math.nan,
            magnitudes=tuple(bins[NUM_BINS:]),
        )


@torch.no_grad()
def count(tensors: Sequence[Tensor]) -> Counts:
    """Return the counts over all values of `tensors`, without waiting for the device."""
    parts = [part for tensor in tensors for part in tensor.detach().reshape(-1).split(_CHUNK)]
    device = parts[0].device
    precise = torch.float32 if device.type == "mps" else torch.float64

    def number(value: float) -> Tensor:
        return torch.full((), value, dtype=precise, device=device)

    low, high, low_exponent, high_exponent = (number(sign * math.inf) for sign in (1, -1, 1, -1))
    sums, squares = number(0.0), number(0.0)
    whole = torch.zeros(3, dtype=torch.int64, device=device)
    for part in parts:
        values = part.to(precise)
        is_finite, exponents = torch.isfinite(values), values.abs().log10()
        finite = torch.where(is_finite, values, 0.0)
        low = torch.minimum(low, torch.where(is_finite, values, math.inf).min())
        high = torch.maximum(high, torch.where(is_finite, values, -math.inf).max())
        has_exponent = torch.isfinite(exponents)
        low_exponent = torch.minimum(low_exponent, torch.where(has_exponent, exponents, math.inf).min())
        high_exponent = torch.maximum(high_exponent, torch.where(has_exponent, exponents, -math.inf).max())
        sums, squares = sums + finite.sum(), squares + finite.square().sum()
        kinds = (values == 0, torch.isnan(values), torch.isinf(values))
        whole = whole + torch.stack([kind.sum() for kind in kinds])
    bins, magnitudes = (torch.zeros(NUM_BINS + 1, dtype=torch.int64, device=device) for _ in range(2))
    for part in parts:
        values = part.to(precise)
        bins = bins + _binned(values, low, high)
        magnitudes = magnitudes + _binned(values.abs().log10(), low_exponent, high_exponent)
    numbers = torch.stack([low, high, sums, squares, low_exponent, high_exponent])
    total = sum(part.numel() for part in parts)
    return Counts(total, torch.cat([whole, bins[:NUM_BINS], magnitudes[:NUM_BINS]]), numbers)


def _binned(values: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return the number of values in each of the equal parts from `low` to `high`, then of those not finite."""
    width = torch.where(high > low, high - low, 1.0)
    places = ((values - low) / width * NUM_BINS).clamp(0, NUM_BINS - 1)
    places = torch.where(torch.isfinite(values), places, NUM_BINS).long()
    counts = torch.zeros(NUM_BINS + 1, dtype=torch.int64, device=values.device)
    return counts.scatter_add_(0, places, torch.ones_like(places))
