"""Cross-entropy over background, target and other."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(log_probs_N3HW: Tensor, label_NHW: Tensor) -> Tensor:
    """The mean negative log-probability (nats, 0 and up) of each pixel's class; ln 3 at uniform probabilities."""
    return F.nll_loss(log_probs_N3HW, label_NHW)
