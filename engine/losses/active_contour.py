"""Active contour loss: the region term of Chan and Vese (2001) and the geodesic length of Caselles et al. (1997)."""

from __future__ import annotations

from torch import Tensor

from engine.losses.morphology import class_band
from engine.model.edges import gradient_magnitude


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
