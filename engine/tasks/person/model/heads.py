"""Heads of the network in addition to the classes: auxiliary task, contour, distance, upsampling decoders."""

from __future__ import annotations

from torch import nn

from engine.tasks.person.model.blocks import ChannelNorm, ConvNormRelu, ResidualBlock, rescaling, small_, zero_


def auxiliary_head(channels: int, *, width: int) -> nn.Sequential:
    """Return a head with one foreground logit per pixel of the shared features, with `width` hidden channels."""
    return nn.Sequential(ConvNormRelu(channels, width), small_(nn.Conv2d(width, 1, 1)))


def contour_head(channels: int, *, scale: int) -> nn.Sequential:
    """Return a head with one contour logit per pixel, at `scale` times the features' resolution.

    The loss applies the sigmoid.
    """
    width = max(channels // 4, 8)
    return nn.Sequential(
        ConvNormRelu(channels, width),
        rescaling(width, width, scale=scale),
        ChannelNorm(width, relu=True),
        ConvNormRelu(width, width),
        small_(nn.Conv2d(width, 1, 1)),
    )


def distance_head(channels: int, *, scale: int) -> nn.Sequential:
    """Return a head with one value per pixel, at `scale` times the features' resolution.

    Its targets are in -1..1; its output is unbounded.
    """
    width = max(channels // 2, 8)
    return nn.Sequential(ConvNormRelu(channels, width), ResidualBlock(width), small_(rescaling(width, 1, scale=scale)))


def doubling(inputs: int, outputs: int) -> nn.Sequential:
    """Return layers that double the resolution: a transposed 4x4 convolution and a residual block."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1),
        ChannelNorm(outputs, relu=True),
        ResidualBlock(outputs),
    )


def progressive_decoder(channels: int, *, num_doublings: int) -> nn.Sequential:
    """Return a decoder of a residual for the three logits that starts at zero.

    Its resolution is 2 ** `num_doublings` times that of the features. Each doubling halves the channels. With no
    doubling it decodes at the features' resolution.
    """
    half = max(channels // 2, 8)
    layers: list[nn.Module] = []
    if num_doublings == 0:
        layers, channels = [ConvNormRelu(channels, half), ResidualBlock(half)], half
    for _ in range(num_doublings):
        layers.append(doubling(channels, half))
        channels, half = half, max(half // 2, 8)
    return nn.Sequential(*layers, zero_(nn.Conv2d(channels, 3, 1)))


def subpixel_decoder(channels: int, *, scale: int) -> nn.Sequential:
    """Return a decoder of a residual for the three logits that starts at zero.

    Its resolution is `scale` times that of the shared features.
    """
    return nn.Sequential(zero_(nn.Conv2d(channels, 3 * scale**2, 3, padding=1)), nn.PixelShuffle(scale))
