"""The published network with every refinement of the refined recipe, to be trained by our step.

Its norms are native ones: the same mathematics in a fraction of the time. The progressive decoder replaces the logits
of both decisions, which then teach through the auxiliary losses alone.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engine.task import Tap, untapped
from engine.tasks.person.config import ModelConfig
from engine.tasks.person.model.heads import contour_head, distance_head, progressive_decoder
from engine.tasks.person.model.outputs import Outputs
from tests.benchmarks.published_losses import composed
from tests.benchmarks.published_network import PublishedNetwork


class PublishedRefined(PublishedNetwork):
    """A network for `PersonTask.forward`, with the published forward pass."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config, five_passes=False)
        channels = config.extractor_widths[-1]
        self.mask_size = config.mask_size
        self.contour_detection = contour_head(channels, scale=1)
        self.distance_transform = distance_head(channels, scale=1)
        self.progressive_upsampling = progressive_decoder(channels, num_doublings=2)
        for decoder in (self.progressive_upsampling, self.target_branch.layers):
            _last(decoder).reset_parameters()  # ours start at or near zero; a constant map has ties from the start
        nn.init.xavier_uniform_(_last(self.boundary_refinement.correct).weight, gain=0.1)

    def forward(self, image_N3HW: Tensor, active: frozenset[str], tap: Tap = untapped) -> Outputs:
        """Three-class log-probabilities and the heads that are on."""
        shared = self.shared(self.extractor(image_N3HW))
        coarse = self.classify(self.unet(shared))
        foreground = self._shrunk(self.upsample(coarse))
        branch = self._shrunk(self.target_branch(shared * self.gate.weigh(coarse)))
        log_probs = composed(foreground, branch)
        if "progressive_upsampling" in active:
            log_probs = self._sized(self.progressive_upsampling(shared)).log_softmax(dim=1)
        if "boundary_refinement" in active:
            log_probs = self.boundary_refinement(log_probs, image_N3HW, tap)
        return Outputs(
            log_probs_N3HW=log_probs,
            auxiliary_N1HW=foreground[:, 1:] - foreground[:, :1],
            contour_N1HW=self._sized(self.contour_detection(shared)) if "contour_detection" in active else None,
            distance_N1HW=self._sized(self.distance_transform(shared)) if "distance_transform" in active else None,
        )

    def _sized(self, x_NCHW: Tensor) -> Tensor:
        size = (self.mask_size, self.mask_size)
        return F.interpolate(x_NCHW, size=size, mode="bilinear", align_corners=False)


def _last(layers: nn.Sequential) -> nn.Conv2d:
    """Return the last layer, a convolution."""
    last = layers[-1]
    assert isinstance(last, nn.Conv2d)
    return last
