"""The bound on a refinement's loss (SEED.md: 10.0)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def clamp_loss(value: Tensor, bound: float, mode: Literal["hard", "rescale"]) -> Tensor:
    """`value` held at `bound`, with NaN left NaN.

    hard: the gradient above the bound is zero, which switches a term off where it is most wrong. rescale: the value is
    multiplied by bound / value taken as a constant, so that the gradient keeps its direction and shrinks by as much;
    an infinite value has no such factor and turns NaN, for the guard to see.
    """
    if mode == "hard":
        return value.clamp(max=bound)
    constant = value.detach()
    return value * torch.where(constant > bound, bound / constant, torch.ones_like(constant))
