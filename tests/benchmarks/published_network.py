"""The published formulation of the same network: what `network_speed` measures ours against.

Norms in five passes of element-wise operations, features in NCHW memory, both decisions decoded at twice the mask's
resolution and then shrunk to it. Its arithmetic is the published one; that its formulas are sound is not its purpose.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.tasks.person.config import ModelConfig
from engine.tasks.person.model.blocks import ChannelNorm, SampleNorm
from engine.tasks.person.model.boundary_refinement import BoundaryRefinement
from engine.tasks.person.model.extractor import RgbExtractor, shared_features
from engine.tasks.person.model.foreground import ForegroundGate
from engine.tasks.person.model.outputs import Outputs
from engine.tasks.person.model.target_branch import TargetBranch
from engine.tasks.person.model.unet import UNet


class FivePassNorm(nn.Module):
    """Mean, variance, difference, quotient and product, each a pass of its own over the features."""

    def __init__(self, norm: SampleNorm | ChannelNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.relu = norm.weight, norm.bias, norm.relu
        self.dims = (1, 2, 3) if isinstance(norm, SampleNorm) else (1,)
        self.eps = 1e-5 if isinstance(norm, SampleNorm) else 1e-6

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """The normalised features, same shape."""
        mean = x_NCHW.mean(self.dims, keepdim=True)
        variance = (x_NCHW - mean).pow(2).mean(self.dims, keepdim=True)
        x_NCHW = (x_NCHW - mean) / torch.sqrt(variance + self.eps)
        x_NCHW = self.weight[:, None, None] * x_NCHW + self.bias[:, None, None]
        return x_NCHW.relu_() if self.relu else x_NCHW


def in_five_passes(module: nn.Module) -> None:
    """Replaces every native norm below `module`."""
    for name, child in module.named_children():
        if isinstance(child, SampleNorm | ChannelNorm):
            setattr(module, name, FivePassNorm(child))
        in_five_passes(child)


class PublishedNetwork(nn.Module):
    """The hierarchical UNet V2 with attention and boundary refinement, at full trunk resolution."""

    def __init__(self, config: ModelConfig, *, five_passes: bool = True) -> None:
        super().__init__()
        channels = config.extractor_widths[-1]
        self.extractor = RgbExtractor(config.extractor_widths, stride=1)
        self.shared = shared_features(channels, dropout=config.dropout)
        self.unet = UNet(channels, width=config.unet_width, depth=config.unet_depth)
        self.classify = nn.Conv2d(self.unet.out_channels, 2, 1)
        self.upsample = nn.Sequential(
            nn.ConvTranspose2d(2, 32, 2, stride=2), ChannelNorm(32, relu=True), nn.Conv2d(32, 2, 1)
        )
        self.gate = ForegroundGate(channels, decoded=self.unet.out_channels, dropout=config.dropout / 2)
        self.target_branch = TargetBranch(channels, scale=2, attention=True, dropout=config.dropout)
        self.boundary_refinement = BoundaryRefinement(max(config.extractor_widths[0] // 2, 8))
        if five_passes:
            in_five_passes(self)

    def forward(self, image_N3HW: Tensor, active: frozenset[str]) -> Outputs:
        """Three-class log-probabilities; `active` is not read: boundary refinement is on."""
        shared = self.shared(self.extractor(image_N3HW))
        coarse = self.classify(self.unet(shared))
        foreground = self._shrunk(self.upsample(coarse))
        branch = self._shrunk(self.target_branch(shared * self.gate.weigh(coarse)))
        certain = foreground.softmax(dim=1)[:, 1]
        logits = torch.zeros_like(branch[:, :1]).repeat(1, 3, 1, 1)
        logits[:, 0] = foreground[:, 0]
        logits[:, 1] = foreground[:, 1] + certain * branch[:, 0]
        logits[:, 2] = foreground[:, 1] + certain * branch[:, 1]
        refined = self.boundary_refinement(logits.log_softmax(dim=1), image_N3HW)
        return Outputs(log_probs_N3HW=refined, auxiliary_N1HW=foreground[:, 1:] - foreground[:, :1])

    def _shrunk(self, x_NCHW: Tensor) -> Tensor:
        return F.interpolate(x_NCHW, scale_factor=0.5, mode="bilinear", align_corners=False)
