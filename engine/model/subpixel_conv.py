"""Sub-pixel convolution (Shi et al. 2016): a decoder that folds channels into pixels and adds to the logits."""

from __future__ import annotations

from torch import nn

from engine.model.initialisation import zero_


def subpixel_decoder(channels: int, *, scale: int) -> nn.Sequential:
    """A residual for the three logits, starting at zero, at `scale` times the resolution of the shared features."""
    return nn.Sequential(zero_(nn.Conv2d(channels, 3 * scale**2, 3, padding=1)), nn.PixelShuffle(scale))
