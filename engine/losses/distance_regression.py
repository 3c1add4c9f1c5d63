"""Distance loss: how far the predicted signed distance is from the true one."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def distance_loss(value_N1HW: Tensor, distance_N1HW: Tensor) -> Tensor:
    """The mean smooth L1 difference, quadratic within 0.1, to the truncated signed distance (-1..1)."""
    return F.smooth_l1_loss(value_N1HW, distance_N1HW.to(value_N1HW.dtype), beta=0.1)
