"""Boundary refinement: corrects the class logits along class borders."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.task import Tap, untapped
from engine.tasks.person.model.blocks import ChannelNorm, zero_
from engine.tasks.person.model.composition import shifted_log_probs
from engine.tasks.person.model.edges import edge_gate


class BoundaryRefinement(nn.Module):
    """A small convolutional correction of the logits, computed from the probabilities and the image.

    A gate opens at the edges of the probabilities. The gate is a constant for the gradient. The correction is unbounded
    and starts at zero.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.correct = nn.Sequential(
            nn.Conv2d(6, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            ChannelNorm(width, relu=True),
            zero_(nn.Conv2d(width, 3, 1)),
        )

    def forward(self, log_probs_N3HW: Tensor, image_N3HW: Tensor, tap: Tap = untapped) -> Tensor:
        """Return normalised log-probabilities of the same shape.

        `image_N3HW` is RGB in 0..1 at their resolution. The correction reads the log-probabilities through `tap`.
        """
        probs_N3HW = tap("boundary_refinement", log_probs_N3HW).exp()
        correction_N3HW = self.correct(torch.cat([probs_N3HW, image_N3HW], dim=1)).float()
        return shifted_log_probs(log_probs_N3HW, edge_gate(probs_N3HW.detach()) * correction_N3HW)
