"""Losses on the class probabilities: cross-entropy, Dice, boundary-aware, auxiliary."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.tasks.person.config import ClassWeights
from engine.tasks.person.losses.morphology import class_band

EVEN: ClassWeights = (1.0, 1.0, 1.0)


def cross_entropy(log_probs_N3HW: Tensor, label_NHW: Tensor, weights: ClassWeights = EVEN) -> Tensor:
    """Return the weighted mean negative log-probability (nats, >= 0) of each pixel's class.

    The sum is divided by the sum of the pixels' weights, so it is ln 3 at uniform probabilities for all weights.
    """
    background, target, other = weights
    weight_NHW = torch.where(label_NHW == 1, target, torch.where(label_NHW == 2, other, background))
    true_NHW = log_probs_N3HW.gather(1, label_NHW.unsqueeze(1)).squeeze(1)
    return -(true_NHW * weight_NHW).sum() / weight_NHW.sum()


SMOOTHING = 1.0
"""Pixels added to numerator and denominator, so that a class of one or two pixels cannot dominate the loss."""


def soft_dice(log_probs_N3HW: Tensor, label_NHW: Tensor) -> Tensor:
    """Return 1 - Dice (0..1) over the whole batch, averaged over the classes target and other.

    A class without pixels in the batch is skipped; without both the loss is 0. Source: Milletari et al., V-Net, 2016.
    """
    probs_N2HW = log_probs_N3HW[:, 1:].exp()
    truth_N2HW = F.one_hot(label_NHW, 3).permute(0, 3, 1, 2)[:, 1:].to(probs_N2HW.dtype)
    shared_2 = (probs_N2HW * truth_N2HW).sum(dim=(0, 2, 3))
    truth_2 = truth_N2HW.sum(dim=(0, 2, 3))
    dice_2 = (2 * shared_2 + SMOOTHING) / (probs_N2HW.sum(dim=(0, 2, 3)) + truth_2 + SMOOTHING)
    present_2 = (truth_2 > 0).to(probs_N2HW.dtype)
    return ((1 - dice_2) * present_2).sum() / present_2.sum().clamp(min=1)


def boundary_aware_loss(log_probs_N3HW: Tensor, label_NHW: Tensor) -> Tensor:
    """Return the mean negative log-probability (nats) of pixels within one pixel of a class border.

    The mean over the band makes the scale independent of the outlines' length. Without a border the loss is 0.
    """
    band_N1HW = class_band(label_NHW).to(log_probs_N3HW.dtype)
    true_N1HW = log_probs_N3HW.gather(1, label_NHW.unsqueeze(1))
    return -(true_N1HW * band_N1HW).sum() / band_N1HW.sum().clamp(min=1)


def auxiliary_loss(logit_N1HW: Tensor, label_NHW: Tensor) -> Tensor:
    """Return the mean binary cross-entropy (nats) of the foreground logit; target and other are foreground."""
    foreground_N1HW = (label_NHW > 0).unsqueeze(1).to(logit_N1HW.dtype)
    return F.binary_cross_entropy_with_logits(logit_N1HW, foreground_N1HW)
