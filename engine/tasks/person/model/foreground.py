"""The first decision, foreground against background, and its gate on the shared features."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.tasks.person.model.blocks import rescaling, small_


class ForegroundHead(nn.Module):
    """Background and foreground logits, computed from the UNet's features.

    It starts at P(foreground) = 2/3, so that with an undecided second decision all three classes start at 1/3.
    """

    def __init__(self, channels: int, *, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.classify = small_(rescaling(channels, 2, scale=scale))
        self.classify.bias = nn.Parameter(torch.tensor([0.0, math.log(2.0)]))

    def forward(self, decoded_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (N, 2) at `scale` times the resolution, and their means at feature resolution."""
        logits_N2HW = self.classify(decoded_NCHW)
        return logits_N2HW, F.avg_pool2d(logits_N2HW, self.scale) if self.scale > 1 else logits_N2HW


class ForegroundGate(nn.Module):
    """Gates the shared features by the first decision: a weight in 0..1 per pixel and channel, and a context.

    The weights are computed from the foreground logits. The context is the UNet's decoded features. They identify the
    target from the whole region, which the shared features cannot.
    """

    def __init__(self, channels: int, *, decoded: int, dropout: float) -> None:
        super().__init__()
        half, quarter = max(channels // 2, 1), max(channels // 4, 1)
        self.weigh = nn.Sequential(
            nn.Conv2d(2, quarter, 1),
            nn.ReLU(),
            nn.Conv2d(quarter, half, 1),
            nn.ReLU(),
            nn.Dropout2d(dropout),
            nn.Conv2d(half, channels, 1),
            nn.Sigmoid(),
        )
        self.context = nn.Conv2d(decoded, channels, 1)

    def forward(self, shared_NCHW: Tensor, logits_N2HW: Tensor, decoded_NDHW: Tensor) -> Tensor:
        """Return the gated features in the shape of the shared ones."""
        return shared_NCHW * self.weigh(logits_N2HW) + self.context(decoded_NDHW)
