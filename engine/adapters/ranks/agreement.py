"""What the processes of a training have in common: who averages the gradients, and whether an update counts in all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from engine.errors import UserError

_DIVIDING = ("FullyShardedDataParallel", "FSDPModule", "DTensor", "ZeroRedundancyOptimizer")
"""Classes of networks, parameters and optimizers that are divided among the processes."""


def refuse_divided(models: Mapping[str, nn.Module], optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Raise UserError if the processes divide the network or the moments."""
    parts: list[Any] = [*optimizers]
    for model in models.values():
        parts += [*model.modules(), *model.parameters()]
    for part in parts:
        kinds = {kind.__name__ for kind in type(part).__mro__}
        if found := next((name for name in _DIVIDING if name in kinds), ""):
            raise UserError(
                f"Cockpit() cannot record a training whose processes divide the network or its moments ({found}): "
                "none of them has all gradients; use DistributedDataParallel, or leave the cockpit out of the program "
                "and start it by `training-cockpit run -- torchrun ...`, which records its losses and norms"
            )


def are_averaged(models: Mapping[str, nn.Module], optimizers: Iterable[torch.optim.Optimizer]) -> bool:
    """Return whether DistributedDataParallel gives all processes the same gradients of all trained parameters."""
    wrapped = [model for model in map(_uncompiled, models.values()) if isinstance(model, DistributedDataParallel)]
    averaged = {id(parameter) for model in wrapped for parameter in model.parameters()}
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    trained = [p for group in groups for p in group["params"] if p.requires_grad]
    return bool(wrapped) and all(id(parameter) in averaged for parameter in trained)


def _uncompiled(model: nn.Module) -> nn.Module:
    inner = getattr(model, "_orig_mod", None)
    return inner if isinstance(inner, nn.Module) else model


class SideGroup:
    """A group of all processes for the messages of the cockpit: it is made, by all of them, at its first message."""

    def __init__(self) -> None:
        self._made: Any = None

    @property
    def _group(self) -> Any:
        if self._made is None:
            self._made = dist.new_group(backend="gloo")
        return self._made

    def in_all(self, finite: Tensor) -> Tensor:
        """Return a flag that is True only if `finite` is in all processes. No host waits for a flag on a device."""
        flag = finite.to(torch.int32).reshape(1)
        dist.all_reduce(flag, dist.ReduceOp.MIN, group=self._group if flag.is_cpu else None)
        return flag[0] > 0

    def share(self, found: Any = None) -> Any:
        """Return what rank 0 gives, in all processes."""
        held = [found]
        dist.broadcast_object_list(held, 0, group=self._group, device=torch.device("cpu"))
        return held[0]
