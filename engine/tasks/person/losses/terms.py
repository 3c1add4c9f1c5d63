"""Every loss term by name, with the outputs and targets that it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from engine.task import Tap, untapped
from engine.tasks.person.config import ClassWeights
from engine.tasks.person.losses.class_losses import EVEN, auxiliary_loss, boundary_aware_loss, cross_entropy, soft_dice
from engine.tasks.person.losses.outline_losses import active_contour_loss, contour_loss, distance_loss
from engine.tasks.person.model.outputs import Outputs
from engine.tasks.person.spec import REFINEMENT_OF_TERM

_TERMS: Final[dict[str, Callable[[Outputs, Tensor, Tensor], Tensor]]] = {
    "dice": lambda outputs, label, _: soft_dice(outputs.log_probs_N3HW, label),
    "auxiliary": lambda outputs, label, _: auxiliary_loss(outputs.auxiliary_N1HW, label),
    "boundary_aware": lambda outputs, label, _: boundary_aware_loss(outputs.log_probs_N3HW, label),
    "active_contour": lambda outputs, label, _: active_contour_loss(outputs.log_probs_N3HW, label),
    "contour": lambda outputs, label, _: contour_loss(_present(outputs.contour_N1HW), label),
    "distance": lambda outputs, _, distance: distance_loss(_present(outputs.distance_N1HW), distance),
}

_LOSS_ONLY: Final = ("boundary_aware", "active_contour")
"""Terms whose refinement consists of the loss only."""


def term_values(
    outputs: Outputs,
    label_NHW: Tensor,
    distance_N1HW: Tensor,
    terms: tuple[str, ...],
    class_weights: ClassWeights = EVEN,
    tap: Tap = untapped,
) -> dict[str, Tensor]:
    """Return the raw value of each of `terms` in order: float32 scalars, neither weighted nor clamped.

    Autocast is off, and the outputs are float32. `label_NHW` is int64: 0 background, 1 target, 2 other. `distance_N1HW`
    is the target's signed distance in -1..1. `class_weights` are those of the cross-entropy. Losses that are a
    refinement read the class probabilities through `tap`.
    """
    with torch.autocast(label_NHW.device.type, enabled=False):
        return {
            term: cross_entropy(outputs.log_probs_N3HW, label_NHW, class_weights)
            if term == "cross_entropy"
            else _TERMS[term](_tapped(term, outputs, tap), label_NHW, distance_N1HW)
            for term in terms
        }


def _tapped(term: str, outputs: Outputs, tap: Tap) -> Outputs:
    """Return the outputs that `term` reads. Heads are tapped in the network, at their input features."""
    if term not in _LOSS_ONLY:
        return outputs
    return replace(outputs, log_probs_N3HW=tap(REFINEMENT_OF_TERM[term], outputs.log_probs_N3HW))


def _present(head_N1HW: Tensor | None) -> Tensor:
    assert head_N1HW is not None, "a loss term needs a head that the network did not compute"
    return head_N1HW
