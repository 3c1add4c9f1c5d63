"""Losses on the target's outline: active contour, contour detection, distance regression."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from engine.tasks.person.losses.morphology import class_band, target_contour
from engine.tasks.person.model.edges import gradient_magnitude


def active_contour_loss(log_probs_N3HW: Tensor, label_NHW: Tensor) -> Tensor:
    """Region plus length per pixel: 0 for the true target alone, at most 2.5.

    Region: P(target) outside the target and 1 - P(target) inside. Length: the gradient magnitude of P(target) away from
    the true outline, which is where the edge-stopping function is 1; on the outline it is 0, so an outline where it
    belongs costs nothing and a map without any is no minimum.
    """
    target_N1HW = log_probs_N3HW[:, 1:2].exp()
    truth_NHW = label_NHW == 1
    truth_N1HW = truth_NHW.unsqueeze(1).to(target_N1HW.dtype)
    region_N1HW = target_N1HW * (1 - truth_N1HW) + (1 - target_N1HW) * truth_N1HW
    away_N1HW = 1 - class_band(truth_NHW).to(target_N1HW.dtype)
    return (region_N1HW + gradient_magnitude(target_N1HW) * away_N1HW).mean()


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


def distance_loss(value_N1HW: Tensor, distance_N1HW: Tensor) -> Tensor:
    """The mean smooth L1 difference, quadratic within 0.1, to the truncated signed distance (-1..1)."""
    return F.smooth_l1_loss(value_N1HW, distance_N1HW.to(value_N1HW.dtype), beta=0.1)
