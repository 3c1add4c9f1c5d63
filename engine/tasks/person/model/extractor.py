"""The RGB extractor: what the network makes of the picture before anything is decided."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from engine.tasks.person.model.blocks import ConvNormRelu, ResidualBlock, SampleNorm


class RgbExtractor(nn.Module):
    """One stage per width; every stage after the first ends in a residual block, and the second halves if asked to."""

    def __init__(self, widths: tuple[int, ...], *, stride: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNormRelu(3, widths[0], norm=SampleNorm)]
        for stage, (inputs, outputs) in enumerate(pairwise(widths)):
            layers.append(ConvNormRelu(inputs, outputs, norm=SampleNorm, stride=stride if stage == 0 else 1))
            layers.append(ResidualBlock(outputs, norm=SampleNorm))
        self.layers = nn.Sequential(*layers)

    def forward(self, image_N3HW: Tensor) -> Tensor:
        """Features at roi_size / stride from RGB in 0..1, which is centred first."""
        return self.layers(image_N3HW * 2 - 1)


def shared_features(channels: int, *, dropout: float) -> nn.Sequential:
    """The features both decisions read: a convolution and two residual blocks, with channel dropout before each."""
    return nn.Sequential(
        ConvNormRelu(channels, channels),
        nn.Dropout2d(dropout),
        ResidualBlock(channels),
        nn.Dropout2d(dropout),
        ResidualBlock(channels),
    )
