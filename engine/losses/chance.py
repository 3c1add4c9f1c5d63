"""What each loss term is worth to a network that knows nothing, for the curves to be read against."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.losses.terms import term_values
from engine.model.outputs import Outputs
from engine.protocol.names import LOSS_TERMS


def chance_levels(label_NHW: Tensor, distance_N1HW: Tensor) -> dict[str, float]:
    """The raw value of every term at uniform class probabilities and a zero in every other head.

    That is also where the network starts, so the first losses of a sound run are these up to the noise of its weights.
    """
    empty_N1HW = torch.zeros_like(distance_N1HW, dtype=torch.float32)
    uniform = Outputs(
        log_probs_N3HW=(empty_N1HW - math.log(3.0)).repeat(1, 3, 1, 1),
        auxiliary_N1HW=empty_N1HW,
        contour_N1HW=empty_N1HW,
        distance_N1HW=empty_N1HW,
    )
    return {term: float(value) for term, value in term_values(uniform, label_NHW, distance_N1HW, LOSS_TERMS).items()}
