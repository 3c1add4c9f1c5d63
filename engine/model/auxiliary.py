"""The auxiliary foreground task: any person against background, read straight from the shared features."""

from __future__ import annotations

from torch import nn

from engine.model.blocks import ConvNormRelu
from engine.model.initialisation import small_


def auxiliary_head(channels: int, *, width: int) -> nn.Sequential:
    """One foreground logit per pixel of the shared features, through `width` hidden channels."""
    return nn.Sequential(ConvNormRelu(channels, width), small_(nn.Conv2d(width, 1, 1)))
