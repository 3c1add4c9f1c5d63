"""Loss values of an uninformed network, and of one that knows only the class frequencies."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from engine.tasks.person.config import ClassWeights
from engine.tasks.person.losses.morphology import class_band
from engine.tasks.person.losses.terms import term_values
from engine.tasks.person.model.outputs import Outputs
from engine.tasks.person.spec import LOSS_TERMS


def chance_levels(label_NHW: Tensor, distance_N1HW: Tensor) -> dict[str, float]:
    """Return the raw value of every term at uniform class probabilities and zero outputs of the other heads.

    The network starts near this point, so the first losses of a healthy run equal these values up to initialisation
    noise.
    """
    empty_N1HW = torch.zeros_like(distance_N1HW, dtype=torch.float32)
    uniform = Outputs(
        log_probs_N3HW=(empty_N1HW - math.log(3.0)).repeat(1, 3, 1, 1),
        auxiliary_N1HW=empty_N1HW,
        contour_N1HW=empty_N1HW,
        distance_N1HW=empty_N1HW,
    )
    return {term: float(value) for term, value in term_values(uniform, label_NHW, distance_N1HW, LOSS_TERMS).items()}


_GROUP = 8
"""Samples per group: about one batch."""


def blind_levels(label_NHW: Tensor, distance_N1HW: Tensor, class_weights: ClassWeights) -> dict[str, tuple[float, ...]]:
    """Return the raw value of every term, group by group, for the best constant answer.

    The answer is equal for every pixel of every image: the class shares of the pixels, weighted as in the cross-entropy
    (its optimum). A network with dead modules ends at these values, which are below those of uniform probabilities.
    """
    shares_3 = torch.bincount(label_NHW.flatten(), minlength=3).float() * torch.tensor(class_weights)
    probs_3 = (shares_3 / shares_3.sum()).clamp(min=1e-6)
    people = (label_NHW > 0).float().mean()
    outline = class_band(label_NHW == 1).float().mean()
    groups: list[dict[str, Tensor]] = []
    for at in torch.arange(len(label_NHW)).split(_GROUP):
        label, distance = label_NHW[at], distance_N1HW[at]
        answer = _constant(probs_3, _logit(people), _logit(outline), distance_N1HW.median(), distance)
        groups.append(term_values(answer, label, distance, LOSS_TERMS, class_weights))
    return {term: tuple(float(values[term]) for values in groups) for term in LOSS_TERMS}


def _constant(probs_3: Tensor, auxiliary: Tensor, contour: Tensor, distance: Tensor, like_N1HW: Tensor) -> Outputs:
    empty_N1HW = torch.zeros_like(like_N1HW, dtype=torch.float32)
    return Outputs(
        log_probs_N3HW=empty_N1HW + probs_3.log().view(1, 3, 1, 1),
        auxiliary_N1HW=empty_N1HW + auxiliary,
        contour_N1HW=empty_N1HW + contour,
        distance_N1HW=empty_N1HW + distance,
    )


def _logit(share: Tensor) -> Tensor:
    return torch.logit(share, eps=1e-6)
