"""Contour detection: a head that finds the target's outline and so teaches the shared features where it runs."""

from __future__ import annotations

from torch import nn

from engine.model.blocks import ConvNormRelu, rescaling
from engine.model.initialisation import small_
from engine.model.norms import ChannelNorm


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
