"""Compose two binary decisions into three classes: log-probabilities that sum to one by construction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def composed_log_probs(foreground_N2HW: Tensor, target_N2HW: Tensor) -> Tensor:
    """Return log P of background, target and other.

    The inputs are the logits of background/foreground and of target/other. log P(target) = log P(foreground) + log
    P(target | foreground), and likewise for other. Their probabilities sum to P(foreground) exactly, so the two heads
    cannot contradict the three classes.
    """
    outer_N2HW = F.log_softmax(foreground_N2HW, dim=1)
    inner_N2HW = F.log_softmax(target_N2HW, dim=1)
    return torch.cat([outer_N2HW[:, :1], outer_N2HW[:, 1:] + inner_N2HW], dim=1)


def shifted_log_probs(log_probs_N3HW: Tensor, shift_N3HW: Tensor) -> Tensor:
    """Return `log_probs_N3HW` with a residual added to its logits, normalised again."""
    return F.log_softmax(log_probs_N3HW + shift_N3HW, dim=1)
