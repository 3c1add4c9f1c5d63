"""The UNet of the first decision (Ronneberger et al. 2015), with attention at the bottleneck."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.tasks.person.model.blocks import ConvNormRelu, ResidualBlock


def residual_pair(channels: int) -> nn.Sequential:
    """Return two residual blocks in a row."""
    return nn.Sequential(ResidualBlock(channels), ResidualBlock(channels))


class AttendedBottleneck(nn.Module):
    """Two residual blocks, then a convolution weighted per pixel and channel by a sigmoid gate."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = residual_pair(channels)
        self.attention = nn.Sequential(ConvNormRelu(channels, channels), nn.Conv2d(channels, channels, 1), nn.Sigmoid())
        self.value = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return features of the same shape."""
        x_NCHW = self.residual(x_NCHW)
        return self.value(x_NCHW) * self.attention(x_NCHW)


class DecoderLevel(nn.Module):
    """Doubles the resolution, joins the encoder's features of that resolution and refines them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
        self.refine = nn.Sequential(ConvNormRelu(2 * outputs, outputs), residual_pair(outputs))

    def forward(self, x_NCHW: Tensor, skip_NCHW: Tensor) -> Tensor:
        """Return features of the shape of `skip_NCHW`."""
        return self.refine(torch.cat([self.up(x_NCHW), skip_NCHW], dim=1))


class UNet(nn.Module):
    """`depth` resolutions, doubling the width at each; returns `out_channels` at the input's resolution."""

    def __init__(self, inputs: int, *, width: int, depth: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(depth)]
        self.stem = nn.Sequential(ConvNormRelu(inputs, width), residual_pair(width))
        self.down = nn.ModuleList(
            nn.Sequential(residual_pair(upper), ConvNormRelu(upper, lower)) for upper, lower in pairwise(widths)
        )
        self.bottleneck = AttendedBottleneck(widths[-1])
        self.up = nn.ModuleList(DecoderLevel(lower, upper) for upper, lower in reversed(list(pairwise(widths))))
        self.out_channels = max(width // 2, 8)
        self.out = ConvNormRelu(width, self.out_channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return decoded features (N, out_channels, H, W). H and W must be multiples of 2 ** (depth - 1)."""
        levels = [self.stem(x_NCHW)]
        for down in self.down:
            levels.append(down(F.max_pool2d(levels[-1], 2)))
        decoded_NCHW = self.bottleneck(levels.pop())
        for up in self.up:
            decoded_NCHW = up(decoded_NCHW, levels.pop())
        return self.out(decoded_NCHW)
