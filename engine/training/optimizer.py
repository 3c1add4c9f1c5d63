"""Adam and AdamW over the network's parts: no decay on norms, biases and scalars. Moments survive a switch."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import undone_by_error
from engine.training.step_plan import StepPlan

Moments = dict[str, dict[str, Tensor]]
"""Optimizer state by parameter name: `step`, `exp_avg` and `exp_avg_sq`."""


class EagerAdam(torch.optim.Adam):
    """Run Adam without `torch._dynamo`, whose import takes a second.

    Torch decorates these methods for callers that are compiled. Here none is: only a network's forward pass may be.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own; settings that `param_group` lacks are the defaults."""
        unwrap(torch.optim.Adam.add_param_group)(self, param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        """Update all parameters with a gradient. Returns the loss of `closure`, `None` without one."""
        return unwrap(torch.optim.Adam.step)(self, closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters; with False for `set_to_none`, fill them with zeros instead."""
        unwrap(torch.optim.Adam.zero_grad)(self, set_to_none)


class EagerAdamW(EagerAdam, torch.optim.AdamW):
    """Run AdamW without `torch._dynamo`."""


_CLASSES: dict[str, type[EagerAdam]] = {"adam": EagerAdam, "adamw": EagerAdamW}


def build_optimizer(
    name: str, parts: Mapping[str, nn.Module], weight_decay: float, switchable: Container[str]
) -> torch.optim.Adam:
    """Return a fused Adam or AdamW: matrices with `weight_decay`, all others without.

    Each part named in `switchable` has its own groups. The fused kernel accepts a found-inf flag and a gradient scale,
    so the guard and the clip need no extra pass.
    """
    sets = [
        (part, [p for p in trained if (p.ndim > 1) is is_matrix], weight_decay if is_matrix else 0.0)
        for part, trained in _trained(parts, switchable).items()
        for is_matrix in (True, False)
    ]
    groups: list[dict[str, object]] = [
        {"params": params, "weight_decay": decay, "part": part} for part, params, decay in sets if params
    ]
    return _CLASSES[name](groups, lr=0.0, fused=True)


def _trained(parts: Mapping[str, nn.Module], switchable: Container[str]) -> dict[str, list[nn.Parameter]]:
    """Return the trained parameters by refinement.

    Parameters that are always active form one group 'core', since few groups make a fast step.
    """
    found: dict[str, list[nn.Parameter]] = {}
    for name, module in parts.items():
        owner = name if name in switchable else "core"
        found.setdefault(owner, []).extend(p for p in module.parameters() if p.requires_grad)
    return found


def apply_learning_rates(optimizer: torch.optim.Optimizer, plan: StepPlan) -> None:
    """Set the plan's learning rate in every group, ramped for recently enabled refinements."""
    for group in optimizer.param_groups:
        group["lr"] = plan.lr * plan.ramps.get(group["part"], 1.0)


def begin_moments(optimizer: torch.optim.Adam) -> None:
    """Allocate the moments that are missing, or none of them if memory runs out.

    Torch allocates those of a group after the update of the groups before. Nothing is left to allocate in an update
    that follows this.
    """
    groups = optimizer.param_groups
    fresh = [p for group in groups for p in group["params"] if p.grad is not None and p not in optimizer.state]
    if not fresh:
        return
    kernel: Any = optimizer  # the stubs lack the method
    with undone_by_error(lambda: _forget(optimizer, fresh)):
        for group in groups:
            kernel._init_group(group, [], [], [], [], [], [])


def _forget(optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        optimizer.state.pop(parameter, None)


def moments_of(optimizer: torch.optim.Optimizer, model: nn.Module) -> Moments:
    """Return the optimizer's state by parameter name, independent of the order of groups."""
    return {name: dict(optimizer.state[p]) for name, p in model.named_parameters() if p in optimizer.state}


def load_moments(optimizer: torch.optim.Optimizer, model: nn.Module, moments: Moments) -> None:
    """Replace the optimizer's state by `moments`. Parameters without an entry start with fresh moments."""
    optimizer.state.clear()
    for name, parameter in [(name, held) for name, held in model.named_parameters() if name in moments]:
        optimizer.state[parameter] = {key: _like(value, parameter) for key, value in moments[name].items()}


def _like(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """Return a copy on the parameter's device, in its memory format. Adam's scalar step counter is unchanged."""
    if value.ndim == 0:
        return value.to(parameter.device, copy=True)
    return torch.empty_like(parameter).copy_(value)


def forget_moments(optimizer: torch.optim.Optimizer, module: nn.Module) -> None:
    """Delete the state of the module's parameters: an enabled refinement starts with fresh moments."""
    for parameter in module.parameters():
        optimizer.state.pop(parameter, None)
        parameter.grad = None
