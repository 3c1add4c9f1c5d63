"""The two normalisations of the network, each one native kernel that works on channels-last memory.

Shape legend for engine/model: N regions of interest, C channels, H x W pixels; a digit is a fixed channel count.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SampleNorm(nn.GroupNorm):
    """Normalises each region over channels and pixels together, with a scale and shift per channel (eps 1e-5)."""

    def __init__(self, channels: int, *, relu: bool = False) -> None:
        super().__init__(1, channels)
        self.relu = relu

    def forward(self, input: Tensor) -> Tensor:
        """The normalised features, same shape, through a ReLU if asked for."""
        y_NCHW = super().forward(input)
        return y_NCHW.relu_() if self.relu else y_NCHW


class ChannelNorm(nn.Module):
    """Normalises each pixel over its channels, with a scale and shift per channel (eps 1e-6)."""

    def __init__(self, channels: int, *, relu: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.relu = relu

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The normalised features, same shape, through a ReLU if asked for."""
        x_NHWC = x_NCHW.permute(0, 2, 3, 1)
        y_NHWC = F.layer_norm(x_NHWC, self.weight.shape, self.weight, self.bias, 1e-6)
        return (y_NHWC.relu_() if self.relu else y_NHWC).permute(0, 3, 1, 2)


Norm = type[SampleNorm] | type[ChannelNorm]
"""Which of the two a block is built with."""
