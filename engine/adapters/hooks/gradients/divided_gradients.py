"""Norms of gradients that the processes of a training divide among them (FSDP): each has a part of every one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ....errors import UserError

_WHOLE: Final = ("FULL_SHARD", "SHARD_GRAD_OP")
"""Strategies of FullyShardedDataParallel in which each process has another part."""

# `Any`: what torch says of a divided tensor has no public type in the oldest version.


class DividedGradients:
    """Reads the gradients of `parameters`; a process has the same `shares` of each in its sums.

    All processes must read them at the same update.
    """

    def __init__(self, parameters: Sequence[Tensor], shares: Sequence[float]) -> None:
        self._parameters = parameters
        self._shares = torch.tensor(shares, dtype=torch.float64, device=parameters[0].device)

    def squares(self) -> list[float]:
        """Return the sum of squares of each whole gradient, 0 for none: the same numbers in all processes."""
        sums = torch.zeros_like(self._shares)
        places = [place for place, parameter in enumerate(self._parameters) if parameter.grad is not None]
        if places:
            parts = [_part(self._parameters[place].grad) for place in places]
            norms = torch._foreach_norm(parts, 2, torch.float64)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
            sums[places] = torch.stack([norm.to(sums.device) for norm in norms]).square()
        sums *= self._shares
        dist.all_reduce(sums)
        return sums.tolist()


def divided_among(parameters: Sequence[Tensor], models: Iterable[nn.Module]) -> DividedGradients | None:
    """Return a reader of parameters that all processes divide among them, `None` if each process has all of them.

    Raises UserError if some processes have no part of a parameter.
    """
    if not (parameters and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return None
    is_wrapped = any([_is_wrapper(module) for model in models for module in model.modules()])
    if not is_wrapped and not any(hasattr(parameter, "placements") for parameter in parameters):
        return None
    return DividedGradients(parameters, [_share(parameter, is_wrapped=is_wrapped) for parameter in parameters])


def whole(norm: Tensor) -> float | None:
    """Return the norm of all gradients that the program has computed; `None` if it is that of this process' parts."""
    divided: Any = norm
    return float(divided.full_tensor()) if hasattr(divided, "full_tensor") else None


def _part(gradient: Any) -> Tensor:
    """Return this process' part of a gradient."""
    return gradient.to_local() if hasattr(gradient, "to_local") else gradient


def _is_wrapper(module: Any) -> bool:
    """Return whether `module` is a FullyShardedDataParallel. Raises UserError unless all processes divide it."""
    if all(kind.__name__ != "FullyShardedDataParallel" for kind in type(module).__mro__):
        return False
    if module.sharding_strategy.name not in _WHOLE or module.process_group.size() != dist.get_world_size():
        raise UserError(f"the processes divide the network in groups ({module.sharding_strategy.name})")
    return True


def _share(parameter: Any, *, is_wrapped: bool) -> float:
    """Return what part of the sums over all processes is this parameter's: several may hold the same."""
    if not hasattr(parameter, "placements"):
        return 1.0 if is_wrapped else 1.0 / dist.get_world_size()
    mesh = parameter.device_mesh
    if mesh.size() != dist.get_world_size():
        raise UserError(f"{mesh.size()} of {dist.get_world_size()} processes divide a part of the network")
    copies = (mesh.size(axis) for axis, placement in enumerate(parameter.placements) if placement.is_replicate())
    return 1.0 / math.prod(copies)
