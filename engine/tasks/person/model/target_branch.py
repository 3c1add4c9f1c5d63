"""The second decision: within the foreground, target against other people."""

from __future__ import annotations

from torch import Tensor, nn

from engine.tasks.person.model.attention import ChannelAttention, SpatialAttention
from engine.tasks.person.model.blocks import ChannelNorm, ResidualBlock, rescaling, small_


class TargetBranch(nn.Module):
    """Target and other logits from the gated features.

    Spatial attention precedes the rescaling; channel attention follows it.
    """

    def __init__(self, channels: int, *, scale: int, attention: bool, dropout: float) -> None:
        super().__init__()
        half = max(channels // 2, 8)
        self.layers = nn.Sequential(
            ResidualBlock(channels),
            SpatialAttention() if attention else nn.Identity(),
            nn.Dropout2d(dropout),
            rescaling(channels, half, scale=scale),
            ChannelNorm(half, relu=True),
            ChannelAttention(half) if attention else nn.Identity(),
            nn.Dropout2d(dropout),
            ResidualBlock(half),
            small_(nn.Conv2d(half, 2, 1)),
        )

    def forward(self, gated_NCHW: Tensor) -> Tensor:
        """Return logits (N, 2) at `scale` times the resolution of the features."""
        return self.layers(gated_NCHW)
