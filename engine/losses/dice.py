"""Soft Dice over the people: target and other each count as much as the other, however few its pixels."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

SMOOTHING = 1.0
"""Pixels added above and below, so that a class of a pixel or two cannot swing the loss."""


def soft_dice(log_probs_N3HW: Tensor, label_NHW: Tensor) -> Tensor:
    """1 - Dice (0..1) of target and of other over the whole batch, averaged over those of the two that are present.

    A class without a pixel in the batch is left to the cross-entropy; without either the loss is 0.
    """
    probs_N2HW = log_probs_N3HW[:, 1:].exp()
    truth_N2HW = F.one_hot(label_NHW, 3).permute(0, 3, 1, 2)[:, 1:].to(probs_N2HW.dtype)
    shared_2 = (probs_N2HW * truth_N2HW).sum(dim=(0, 2, 3))
    truth_2 = truth_N2HW.sum(dim=(0, 2, 3))
    dice_2 = (2 * shared_2 + SMOOTHING) / (probs_N2HW.sum(dim=(0, 2, 3)) + truth_2 + SMOOTHING)
    present_2 = (truth_2 > 0).to(probs_N2HW.dtype)
    return ((1 - dice_2) * present_2).sum() / present_2.sum().clamp(min=1)
