"""Heads of the network beyond the classes: auxiliary task, contour, distance, upsampling decoders."""

from __future__ import annotations

from torch import nn

from engine.tasks.person.model.blocks import ChannelNorm, ConvNormRelu, ResidualBlock, rescaling, small_, zero_


def auxiliary_head(channels: int, *, width: int) -> nn.Sequential:
    """One foreground logit per pixel of the shared features, through `width` hidden channels."""
    return nn.Sequential(ConvNormRelu(channels, width), small_(nn.Conv2d(width, 1, 1)))


def contour_head(channels: int, *, scale: int) -> nn.Sequential:
    """One contour logit per pixel, at `scale` times the resolution of the shared features; the loss has the sigmoid."""
    width = max(channels // 4, 8)
    return nn.Sequential(
        ConvNormRelu(channels, width),
        rescaling(width, width, scale=scale),
        ChannelNorm(width, relu=True),
        ConvNormRelu(width, width),
        small_(nn.Conv2d(width, 1, 1)),
    )


def distance_head(channels: int, *, scale: int) -> nn.Sequential:
    """One value per pixel, meant for -1..1 and unbounded, at `scale` times the resolution of the shared features."""
    width = max(channels // 2, 8)
    return nn.Sequential(ConvNormRelu(channels, width), ResidualBlock(width), small_(rescaling(width, 1, scale=scale)))


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


def subpixel_decoder(channels: int, *, scale: int) -> nn.Sequential:
    """A residual for the three logits, starting at zero, at `scale` times the resolution of the shared features."""
    return nn.Sequential(zero_(nn.Conv2d(channels, 3 * scale**2, 3, padding=1)), nn.PixelShuffle(scale))
