"""A small network under hooks, and what an update may change in it."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from engine.adapters.hooks.gradients.parameter_names import ParameterNames
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks


def network() -> nn.Sequential:
    """Return a small network with fixed weights."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def fail(error: Exception) -> None:
    """Let a fault of the hooks fail the test."""
    raise error


def hooks_on(model: nn.Module, *optimizers: torch.optim.Optimizer) -> OptimizerHooks:
    """Return hooks on the optimizers of a network."""
    hooks = OptimizerHooks(ParameterNames({"": model}), fail)
    for optimizer in optimizers:
        hooks.watch(optimizer)
    return hooks


def backward(model: nn.Module, step: int, *, poisoned: bool = False) -> None:
    """Compute gradients of a step's own batch; a poisoned one has one NaN."""
    torch.manual_seed(step)
    model(torch.randn(5, 4)).square().mean().backward()
    if poisoned:
        grad = model.get_parameter("2.bias").grad
        assert grad is not None
        grad[1] = math.nan


def all_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
    """Return a copy of everything that an update may change."""
    return copy.deepcopy((model.state_dict(), optimizer.state_dict()))
