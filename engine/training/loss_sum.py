"""The weighted sum of a batch's loss terms, as the step, the validation and the replay of a step compute it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from engine.errors import UserError
from engine.task import Tap, Task, Tensors
from engine.training.step_plan import StepPlan


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised: a task under its configuration."""

    task: Task
    config: Any

    def outputs(
        self, model: nn.Module, batch: Tensors, active: frozenset[str], tap: Tap, amp: torch.dtype | None
    ) -> Any:
        """Return the network's outputs for `batch`, computed in `amp` where that is not None."""
        device = next(iter(batch.values())).device.type
        with torch.autocast(device, dtype=amp, enabled=amp is not None):
            return self.task.forward(model, batch, active, tap)

    def terms(self, outputs: Any, batch: Tensors, terms: tuple[str, ...], tap: Tap) -> dict[str, Tensor]:
        """Return the raw loss terms in full precision, in the order of `terms`.

        Raises UserError where the task left one out.
        """
        with torch.autocast(next(iter(batch.values())).device.type, enabled=False):
            found = self.task.losses(outputs, batch, terms, self.config, tap)
        if missing := [term for term in terms if term not in found]:
            raise UserError(f"losses() leaves out the term {missing[0]!r}, which it was asked for")
        return {term: found[term] for term in terms}


@dataclass(frozen=True, slots=True)
class LossSum:
    """A batch's total loss with its gradient, and the weighted and raw terms that it is the sum of."""

    total: Tensor
    weighted: dict[str, Tensor]
    raw: dict[str, Tensor]


def loss_sum(raw: dict[str, Tensor], plan: StepPlan) -> LossSum:
    """Clamp, weigh and add up the terms as `plan` says."""
    bounded = {
        term: clamp_loss(value, plan.clamp_max, plan.clamp_mode) if term in plan.clamped else value
        for term, value in raw.items()
    }
    weighted = {term: plan.weights[term] * value for term, value in bounded.items()}
    return LossSum(torch.stack(list(weighted.values())).sum(), weighted, raw)


def clamp_loss(value: Tensor, bound: float, mode: Literal["hard", "rescale"]) -> Tensor:
    """Return `value` held at `bound`, with NaN left NaN.

    hard: the gradient above the bound is zero, which switches a term off where it is most wrong. rescale: the value is
    multiplied by bound / value taken as a constant, so that the gradient keeps its direction and shrinks by as much;
    an infinite value has no such factor and turns NaN, for the guard to see.
    """
    if mode == "hard":
        return value.clamp(max=bound)
    constant = value.detach()
    return value * torch.where(constant > bound, bound / constant, torch.ones_like(constant))
