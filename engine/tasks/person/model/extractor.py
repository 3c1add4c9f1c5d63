"""The RGB extractor and the shared features that both decisions read."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from engine.tasks.person.model.blocks import ConvNormRelu, ResidualBlock, SampleNorm


class RgbExtractor(nn.Module):
    """One stage per width. Each stage after the first ends in a residual block; the second halves if configured."""

    def __init__(self, widths: tuple[int, ...], *, stride: int, inputs: int = 3) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNormRelu(inputs, widths[0], norm=SampleNorm)]
        for stage, (upper, lower) in enumerate(pairwise(widths)):
            layers.append(ConvNormRelu(upper, lower, norm=SampleNorm, stride=stride if stage == 0 else 1))
            layers.append(ResidualBlock(lower, norm=SampleNorm))
        self.layers = nn.Sequential(*layers)

    def forward(self, image_NCHW: Tensor) -> Tensor:
        """Return features at the region's size / stride from RGB, and the box if configured, in 0..1; centred first."""
        return self.layers(image_NCHW * 2 - 1)


def shared_features(channels: int, *, dropout: float) -> nn.Sequential:
    """Return the layers of the shared features: a convolution and two residual blocks.

    Channel dropout precedes each of them.
    """
    return nn.Sequential(
        ConvNormRelu(channels, channels),
        nn.Dropout2d(dropout),
        ResidualBlock(channels),
        nn.Dropout2d(dropout),
        ResidualBlock(channels),
    )
