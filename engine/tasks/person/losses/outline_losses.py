"""Losses on the target's outline: active contour, contour detection, distance regression."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from engine.tasks.person.losses.morphology import class_band, target_contour
from engine.tasks.person.model.edges import gradient_magnitude


def active_contour_loss(log_probs_N3HW: Tensor, label_NHW: Tensor) -> Tensor:
    """Return region plus length per pixel: 0 for the exact target, at most 2.5.

    The region term is P(target) outside the target and 1 - P(target) inside. The length term is the gradient magnitude
    of P(target), times an edge-stopping function: 0 on the true outline, 1 elsewhere. A correct outline therefore costs
    nothing, and a map without outline is not a minimum. Source: Chan and Vese, Active Contours Without Edges, 2001.
    """
    target_N1HW = log_probs_N3HW[:, 1:2].exp()
    truth_NHW = label_NHW == 1
    truth_N1HW = truth_NHW.unsqueeze(1).to(target_N1HW.dtype)
    region_N1HW = target_N1HW * (1 - truth_N1HW) + (1 - target_N1HW) * truth_N1HW
    away_N1HW = 1 - class_band(truth_NHW).to(target_N1HW.dtype)
    return (region_N1HW + gradient_magnitude(target_N1HW) * away_N1HW).mean()


def contour_loss(logit_N1HW: Tensor, label_NHW: Tensor) -> Tensor:
    """Return the binary cross-entropy (nats) of the contour logit: the mean of its means on and off the outline.

    The outline is a twentieth of the pixels. The balance makes an empty map as wrong as a full one. Without an outline
    in the batch, only the other half counts.
    """
    contour_N1HW = target_contour(label_NHW).to(logit_N1HW.dtype)
    entropy_N1HW = F.binary_cross_entropy_with_logits(logit_N1HW, contour_N1HW, reduction="none")
    num_on, num_off = contour_N1HW.sum(), (1 - contour_N1HW).sum()
    on = (entropy_N1HW * contour_N1HW).sum() / num_on.clamp(min=1)
    off = (entropy_N1HW * (1 - contour_N1HW)).sum() / num_off.clamp(min=1)
    num_halves = (num_on > 0).to(on.dtype) + (num_off > 0).to(on.dtype)
    return (on + off) / num_halves


def distance_loss(value_N1HW: Tensor, distance_N1HW: Tensor) -> Tensor:
    """Return the mean smooth L1 difference to the truncated signed distance (-1..1), quadratic within 0.1."""
    return F.smooth_l1_loss(value_N1HW, distance_N1HW.to(value_N1HW.dtype), beta=0.1)
