"""Cross-entropy over background, target and other."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.config import ClassWeights

EVEN: ClassWeights = (1.0, 1.0, 1.0)


def cross_entropy(log_probs_N3HW: Tensor, label_NHW: Tensor, weights: ClassWeights = EVEN) -> Tensor:
    """The weighted mean negative log-probability (nats, 0 and up) of each pixel's class.

    Divided by the sum of the pixels' weights, so it is ln 3 at uniform probabilities whatever they are.
    """
    background, target, other = weights
    weight_NHW = torch.where(label_NHW == 1, target, torch.where(label_NHW == 2, other, background))
    true_NHW = log_probs_N3HW.gather(1, label_NHW.unsqueeze(1)).squeeze(1)
    return -(true_NHW * weight_NHW).sum() / weight_NHW.sum()
