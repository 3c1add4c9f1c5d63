"""Spatial and channel attention (Woo et al. 2018; Hu et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SpatialAttention(nn.Module):
    """Weights each pixel by 0..1, computed from the mean and maximum over channels around it."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.Sigmoid())

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the weighted features, same shape."""
        summary_N2HW = torch.cat([x_NCHW.mean(dim=1, keepdim=True), x_NCHW.amax(dim=1, keepdim=True)], dim=1)
        return x_NCHW * self.weigh(summary_N2HW)


class ChannelAttention(nn.Module):
    """Weights each channel by 0..1, computed by two layers from the channel means of its region."""

    def __init__(self, channels: int, *, reduction: int = 8) -> None:
        super().__init__()
        hidden = max(channels // reduction, 8)
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the weighted features, same shape."""
        return x_NCHW * self.weigh(x_NCHW)
