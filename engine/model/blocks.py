"""The blocks every part of the network is made of: convolution with norm, residual block, upscaling by two."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engine.model.norms import ChannelNorm, Norm


class ConvNormRelu(nn.Sequential):
    """A 3x3 convolution, a norm and a ReLU; `stride` 2 halves the resolution."""

    def __init__(self, inputs: int, outputs: int, *, norm: Norm = ChannelNorm, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), norm(outputs, relu=True))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions at one width, each with its norm, added to their input (He et al. 2016)."""

    def __init__(self, channels: int, *, norm: Norm = ChannelNorm) -> None:
        super().__init__()
        self.first = ConvNormRelu(channels, channels, norm=norm)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = norm(channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Features of the same shape."""
        return (x_NCHW + self.norm(self.second(self.first(x_NCHW)))).relu_()


def rescaling(inputs: int, outputs: int, *, scale: int) -> nn.Conv2d | nn.ConvTranspose2d:
    """The learned step from trunk to mask resolution: a transposed convolution for scale 2, a 1x1 one for scale 1."""
    if scale == 2:
        return nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
    return nn.Conv2d(inputs, outputs, 1)


def resized(x_NCHW: Tensor, size: int) -> Tensor:
    """`x_NCHW` at `size` x `size` pixels: bilinear when it grows, averaged when it shrinks, itself when it fits."""
    if x_NCHW.shape[-1] == size:
        return x_NCHW
    if x_NCHW.shape[-1] > size:
        return F.adaptive_avg_pool2d(x_NCHW, size)
    return F.interpolate(x_NCHW, size=(size, size), mode="bilinear", align_corners=False)
