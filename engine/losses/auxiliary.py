"""The auxiliary task: any person against background."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def auxiliary_loss(logit_N1HW: Tensor, label_NHW: Tensor) -> Tensor:
    """The mean binary cross-entropy (nats) of the foreground logit, target and other being foreground."""
    foreground_N1HW = (label_NHW > 0).unsqueeze(1).to(logit_N1HW.dtype)
    return F.binary_cross_entropy_with_logits(logit_N1HW, foreground_N1HW)
