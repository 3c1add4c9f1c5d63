"""The settings of a validation and its result."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from engine.outputs.preview_file import Preview
from engine.protocol.events import AlertRaised, ValidationCompleted
from engine.protocol.record import record

_MOST_NAMED = 6


@record
class Validation:
    """The loss, the scores, the mean of every raw loss term, a few previews, and the samples of non-finite batches."""

    loss: float
    summary: ValidationCompleted
    terms: Mapping[str, float]
    previews: tuple[Preview, ...]
    bad_samples: tuple[str, ...] = ()

    def doubt(self, step: int) -> AlertRaised | None:
        """Return an alert if the validation at `step` was not finite, else `None`."""
        if math.isfinite(self.loss):
            return None
        terms = ", ".join(term for term, value in self.terms.items() if not math.isfinite(value)) or "the loss"
        more = len(self.bad_samples) - _MOST_NAMED
        listed = ", ".join(self.bad_samples[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        return AlertRaised(
            "validation",
            f"the validation at step {step} is not finite in {terms}: its scores are invalid; its batches: {listed}",
            "disable mixed precision if it is on, check these samples, or roll back to the last good checkpoint",
            at_step=step,
        )


@record
class ValidationPlan:
    """Settings of a validation.

    Active components, loss weights, batch size, number of previews, and reduced precision or `None`. Previews are made
    of the first `num_previews` samples of the split, of the `num_worst` with the largest errors, and of `remembered`.
    `averaged` is how the weights are averaged, an empty string for the trained ones.
    """

    active: frozenset[str]
    weights: Mapping[str, float]
    batch_size: int
    num_previews: int
    amp: torch.dtype | None
    num_worst: int = 0
    remembered: frozenset[str] = frozenset()
    averaged: str = ""
