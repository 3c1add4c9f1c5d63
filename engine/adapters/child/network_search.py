"""Find the networks that an optimizer trains, among all objects of a program."""

from __future__ import annotations

import gc
import time
from typing import Final

import torch
from torch import nn

from ..hooks.gradients.parameter_names import ParameterNames, unwrapped

_SEARCH_SECONDS: Final = 1.0
_SEARCH_SHARE: Final = 0.01
"""Seconds, and share of the time, for which networks are looked for among all objects."""


class NetworkSearch:
    """Gives `names` the networks of optimizers, as long as the search costs little."""

    def __init__(self, names: ParameterNames) -> None:
        self._names = names
        self._began, self._searched = time.perf_counter(), 0.0

    def name_networks(self, optimizer: torch.optim.Optimizer) -> bool:
        """Name the parameters of `optimizer`, unless looking for networks has taken much of the time so far."""
        began = time.perf_counter()
        if self._searched > _SEARCH_SECONDS + _SEARCH_SHARE * (began - self._began):
            return False
        self._names.add(_networks_of(optimizer))
        self._searched += time.perf_counter() - began
        return True


def _networks_of(optimizer: torch.optim.Optimizer) -> dict[str, nn.Module]:
    """Return the outermost networks that hold parameters of `optimizer`, by name: among all living objects."""
    wanted = {id(p) for group in optimizer.param_groups for p in group["params"]}
    modules = [candidate for candidate in gc.get_objects() if issubclass(type(candidate), nn.Module)]
    inner = {id(child) for module in modules for child in module.children()}
    roots = [
        module for module in modules if id(module) not in inner and any(id(p) in wanted for p in module.parameters())
    ]
    roots = list({id(unwrapped(root)): root for root in roots}.values())
    if len(roots) == 1:
        return {"": roots[0]}
    return {f"{type(unwrapped(root)).__name__}{number or ''}": root for number, root in enumerate(roots)}
