"""Building blocks of the network: norms, initialisation, convolution and residual blocks."""

from __future__ import annotations

import math
from typing import Final, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SampleNorm(nn.GroupNorm):
    """Normalises each region over channels and pixels together, with scale and shift per channel (eps 1e-5)."""

    def __init__(self, channels: int, *, relu: bool = False) -> None:
        super().__init__(1, channels)
        self.relu = relu

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised features, same shape, after a ReLU if the module has one."""
        y_NCHW = super().forward(input)
        return y_NCHW.relu_() if self.relu else y_NCHW


class ChannelNorm(nn.Module):
    """Normalises each pixel over its channels, with scale and shift per channel (eps 1e-6)."""

    def __init__(self, channels: int, *, relu: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.relu = relu

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return the normalised features, same shape, after a ReLU if the module has one."""
        x_NHWC = x_NCHW.permute(0, 2, 3, 1)
        y_NHWC = F.layer_norm(x_NHWC, self.weight.shape, self.weight, self.bias, 1e-6)
        return (y_NHWC.relu_() if self.relu else y_NHWC).permute(0, 3, 1, 2)


Norm = type[SampleNorm] | type[ChannelNorm]
"""The norm of a block."""


class GroupedNorm(nn.GroupNorm):
    """Normalises each region over groups of channels and their pixels, with scale and shift per channel (eps 1e-5).

    There are 8 groups, or fewer if 8 does not divide the channels.
    """

    def __init__(self, channels: int, *, relu: bool = False) -> None:
        super().__init__(math.gcd(8, channels), channels)
        self.relu = relu

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised features, same shape, after a ReLU if the module has one."""
        y_NCHW = super().forward(input)
        return y_NCHW.relu_() if self.relu else y_NCHW


class RunningNorm(nn.BatchNorm2d):
    """Normalises each channel over all regions of a batch, in evaluation by running statistics (eps 1e-5).

    A single value per channel has no variance: such a batch is normalised by the running statistics.
    """

    def __init__(self, channels: int, *, relu: bool = False) -> None:
        super().__init__(channels)
        self.relu = relu

    def forward(self, input: Tensor) -> Tensor:
        """Return the normalised features, same shape, after a ReLU if the module has one."""
        if self.training and input.numel() == self.num_features:
            y_NCHW = F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        else:
            y_NCHW = super().forward(input)
        return y_NCHW.relu_() if self.relu else y_NCHW


_REPLACEMENTS: Final = {"group": GroupedNorm, "batch": RunningNorm}


def use_norm(network: nn.Module, kind: Literal["layer", "group", "batch"]) -> None:
    """Replace every norm of `network` by one of that kind. The names of weights stay; 'layer' leaves it unchanged.

    Norms draw no random numbers, so that the other weights are equal with each kind.
    """
    if kind == "layer":
        return
    norm = _REPLACEMENTS[kind]
    children = [(module, *named) for module in network.modules() for named in module.named_children()]
    norms = [(module, name, held) for module, name, held in children if isinstance(held, SampleNorm | ChannelNorm)]
    for module, name, held in norms:
        setattr(module, name, norm(len(held.weight), relu=held.relu))


Convolution = TypeVar("Convolution", bound=nn.Conv2d | nn.ConvTranspose2d)


def small_(convolution: Convolution) -> Convolution:
    """Draw small weights, so that unit features change the output by about 0.05, and set the bias to zero.

    They are not zero, so that the layers below learn from the first step.
    """
    if not convolution.weight.is_meta:  # it has no values, but torch would import its compiler to draw them
        nn.init.normal_(convolution.weight, std=0.05 / convolution.in_channels**0.5)
    return _unbiased(convolution)


def zero_(convolution: Convolution) -> Convolution:
    """Set weights and bias to zero: a residual that starts here has no effect until it has learnt one."""
    nn.init.zeros_(convolution.weight)
    return _unbiased(convolution)


def _unbiased(convolution: Convolution) -> Convolution:
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


class ConvNormRelu(nn.Sequential):
    """A 3x3 convolution, a norm and a ReLU; `stride` 2 halves the resolution."""

    def __init__(self, inputs: int, outputs: int, *, norm: Norm = ChannelNorm, stride: int = 1) -> None:
        super().__init__(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1), norm(outputs, relu=True))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions at one width, each with its norm, added to their input (He et al. 2016)."""

    def __init__(self, channels: int, *, norm: Norm = ChannelNorm) -> None:
        super().__init__()
        self.first = ConvNormRelu(channels, channels, norm=norm)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = norm(channels)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Return features of the same shape."""
        return (x_NCHW + self.norm(self.second(self.first(x_NCHW)))).relu_()


def rescaling(inputs: int, outputs: int, *, scale: int) -> nn.Conv2d | nn.ConvTranspose2d:
    """Return the learned layer from trunk to mask resolution: transposed for scale 2, 1x1 for scale 1."""
    if scale == 2:
        return nn.ConvTranspose2d(inputs, outputs, 2, stride=2)
    return nn.Conv2d(inputs, outputs, 1)


def resized(x_NCHW: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return `x_NCHW` at `shape` (H, W): averaged to shrink, then bilinear to enlarge, unchanged if equal."""
    height, width = shape
    if x_NCHW.shape[-2] > height or x_NCHW.shape[-1] > width:
        x_NCHW = F.adaptive_avg_pool2d(x_NCHW, (min(x_NCHW.shape[-2], height), min(x_NCHW.shape[-1], width)))
    if x_NCHW.shape[-2] == height and x_NCHW.shape[-1] == width:
        return x_NCHW
    return F.interpolate(x_NCHW, size=(height, width), mode="bilinear", align_corners=False)
