"""Contour loss: does the contour head mark the target's outline?"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from engine.losses.morphology import target_contour


def contour_loss(logit_N1HW: Tensor, label_NHW: Tensor) -> Tensor:
    """The binary cross-entropy (nats) of the contour logit, averaged on the outline and off it, and then over the two.

    The outline is a twentieth of the pixels; so balanced, the empty map is as wrong as the full one. Where a batch has
    no outline only the other half counts.
    """
    contour_N1HW = target_contour(label_NHW).to(logit_N1HW.dtype)
    entropy_N1HW = F.binary_cross_entropy_with_logits(logit_N1HW, contour_N1HW, reduction="none")
    num_on, num_off = contour_N1HW.sum(), (1 - contour_N1HW).sum()
    on = (entropy_N1HW * contour_N1HW).sum() / num_on.clamp(min=1)
    off = (entropy_N1HW * (1 - contour_N1HW)).sum() / num_off.clamp(min=1)
    num_halves = (num_on > 0).to(on.dtype) + (num_off > 0).to(on.dtype)
    return (on + off) / num_halves
