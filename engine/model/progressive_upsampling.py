"""Progressive upsampling: a decoder that doubles the shared features up to mask resolution and adds to the logits."""

from __future__ import annotations

from torch import nn

from engine.model.blocks import ConvNormRelu, ResidualBlock
from engine.model.initialisation import zero_
from engine.model.norms import ChannelNorm


def doubling(inputs: int, outputs: int) -> nn.Sequential:
    """Twice the resolution by a transposed 4x4 convolution, refined by a residual block."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1),
        ChannelNorm(outputs, relu=True),
        ResidualBlock(outputs),
    )


def progressive_decoder(channels: int, *, num_doublings: int) -> nn.Sequential:
    """A residual for the three logits, starting at zero, at 2 ** `num_doublings` times the features' resolution.

    Each doubling halves the channels. With none to make, it decodes where it stands.
    """
    half = max(channels // 2, 8)
    layers: list[nn.Module] = []
    if num_doublings == 0:
        layers, channels = [ConvNormRelu(channels, half), ResidualBlock(half)], half
    for _ in range(num_doublings):
        layers.append(doubling(channels, half))
        channels, half = half, max(half // 2, 8)
    return nn.Sequential(*layers, zero_(nn.Conv2d(channels, 3, 1)))
