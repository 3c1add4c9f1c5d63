"""Distance transform: a head that predicts each pixel's signed distance to the target's outline."""

from __future__ import annotations

from torch import nn

from engine.model.blocks import ConvNormRelu, ResidualBlock, rescaling
from engine.model.initialisation import small_


def distance_head(channels: int, *, scale: int) -> nn.Sequential:
    """One value per pixel, meant for -1..1 and unbounded, at `scale` times the resolution of the shared features."""
    width = max(channels // 2, 8)
    return nn.Sequential(ConvNormRelu(channels, width), ResidualBlock(width), small_(rescaling(width, 1, scale=scale)))
