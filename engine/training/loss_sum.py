"""The weighted sum of a batch's loss terms, shared by the step, the validation and the replay of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from engine.errors import UserError
from engine.protocol.record import record
from engine.task import Tap, Task, Tensors
from engine.training.step_plan import StepPlan


@record
class Objective:
    """The training objective: a task with its configuration."""

    task: Task
    config: Any

    def outputs(
        self, model: nn.Module, batch: Tensors, active: frozenset[str], tap: Tap, amp: torch.dtype | None
    ) -> Any:
        """Return the network's outputs for `batch`, computed in `amp` unless it is `None`."""
        device = next(iter(batch.values())).device.type
        with torch.autocast(device, dtype=amp, enabled=amp is not None):
            return self.task.forward(model, batch, active, tap)

    def terms(self, outputs: Any, batch: Tensors, terms: tuple[str, ...], tap: Tap) -> dict[str, Tensor]:
        """Return the raw loss terms in full precision, in the order of `terms`.

        Raises UserError if the task omits one.
        """
        with torch.autocast(next(iter(batch.values())).device.type, enabled=False):
            found = self.task.losses(outputs, batch, terms, self.config, tap)
        _check_named(found)
        if missing := [term for term in terms if term not in found]:
            raise UserError(f"losses() does not return the term {missing[0]!r}")
        return {term: found[term] for term in terms}


# `Any`: tasks have no common base class.
def _check_named(found: Any) -> None:
    if not isinstance(found, (dict, Mapping)):
        raise UserError(f"losses() returns a {type(found).__name__}, not tensors by name: return a dict of the terms")


@record
class LossSum:
    """A batch's total loss with its gradient, and its weighted and raw terms."""

    total: Tensor
    weighted: dict[str, Tensor]
    raw: dict[str, Tensor]


def loss_sum(raw: dict[str, Tensor], plan: StepPlan) -> LossSum:
    """Return the sum of the terms, clamped and weighted as in `plan`."""
    bounded = {
        term: clamp_loss(value, plan.clamp_max, plan.clamp_mode) if term in plan.clamped else value
        for term, value in raw.items()
    }
    weighted = {term: plan.weights[term] * value for term, value in bounded.items()}
    return LossSum(torch.stack(list(weighted.values())).sum(), weighted, raw)


def clamp_loss(value: Tensor, bound: float, mode: Literal["hard", "rescale"]) -> Tensor:
    """Return the scalar `value` limited to `bound` (> 0); NaN stays NaN.

    hard: the gradient above the bound is zero, which disables a term if its error is large. rescale: the value is
    multiplied by the constant bound / value. The gradient keeps its direction and shrinks by that factor. An infinite
    value has no such factor and becomes NaN, which the guard detects.
    """
    if mode == "hard":
        return value.clamp(max=bound)
    constant = value.detach()
    return value * torch.where(constant > bound, bound / constant, torch.ones_like(constant))
