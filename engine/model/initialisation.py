"""How last layers start: at or near zero, so that training starts at the uninformative output."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

Convolution = TypeVar("Convolution", bound=nn.Conv2d | nn.ConvTranspose2d)


def small_(convolution: Convolution) -> Convolution:
    """Draws the weights so small that unit features move the output by about 0.05, and zeroes the bias.

    Small rather than zero, so that the layers below learn from the first step on.
    """
    nn.init.normal_(convolution.weight, std=0.05 / convolution.in_channels**0.5)
    return _unbiased(convolution)


def zero_(convolution: Convolution) -> Convolution:
    """Zeroes weights and bias: a residual that starts here changes nothing until it has learnt something."""
    nn.init.zeros_(convolution.weight)
    return _unbiased(convolution)


def _unbiased(convolution: Convolution) -> Convolution:
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution
