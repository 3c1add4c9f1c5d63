"""Boundary-aware loss: the cross-entropy once more, where the classes meet and nowhere else."""

from __future__ import annotations

from torch import Tensor

from engine.losses.morphology import class_band


def boundary_aware_loss(log_probs_N3HW: Tensor, label_NHW: Tensor) -> Tensor:
    """The mean negative log-probability (nats) of the pixels within one pixel of a line between classes.

    A mean over the band, so its scale does not vary with the length of the outlines; 0 where there is none.
    """
    band_N1HW = class_band(label_NHW).to(log_probs_N3HW.dtype)
    true_N1HW = log_probs_N3HW.gather(1, label_NHW.unsqueeze(1))
    return -(true_N1HW * band_N1HW).sum() / band_N1HW.sum().clamp(min=1)
