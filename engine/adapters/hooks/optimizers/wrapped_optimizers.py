"""Optimizers inside others, and unknown ones that update the same parameters."""

from __future__ import annotations

import gc
from collections.abc import Iterable

import torch

from ..gradients.gradient_reader import GradientReader


def updating(optimizer: torch.optim.Optimizer) -> list[torch.optim.Optimizer]:
    """Return the optimizers that carry out the updates of `optimizer`: itself, unless it wraps others.

    Wrappers, such as those of accelerate, Lookahead and SAM, often have no hooks, or never call their own `step`.
    """
    inner = held_by(optimizer)
    if inner and _parameters_of(optimizer) <= frozenset().union(*map(_parameters_of, inner)):
        return [last for one in inner for last in updating(one)]
    return [optimizer]


def held_by(optimizer: torch.optim.Optimizer) -> list[torch.optim.Optimizer]:
    """Return the optimizers that are attributes of `optimizer`, or in its lists."""
    found: list[torch.optim.Optimizer] = []
    for value in getattr(optimizer, "__dict__", {}).values():
        held = value if isinstance(value, list | tuple) else (value,)
        found += [one for one in held if isinstance(one, torch.optim.Optimizer) and one is not optimizer]
    return found


def have_all_of(readers: Iterable[GradientReader], optimizer: torch.optim.Optimizer) -> bool:
    """Return whether the `readers` have all parameters of `optimizer`, as those of one that holds it do."""
    return _parameters_of(optimizer) <= {id(parameter) for reader in readers for parameter in reader.parameters}


def _parameters_of(optimizer: torch.optim.Optimizer) -> frozenset[int]:
    groups = getattr(optimizer, "param_groups", ())  # a wrapper may never have called the `__init__` of torch
    return frozenset(id(p) for group in groups for p in group["params"])


def unknown_optimizers(
    known: Iterable[torch.optim.Optimizer], readers: Iterable[GradientReader]
) -> list[torch.optim.Optimizer]:
    """Return the living optimizers that update parameters of the `readers`, but are none of theirs."""
    wanted = {id(parameter) for reader in readers for parameter in reader.parameters}
    found = [one for one in gc.get_objects() if issubclass(type(one), torch.optim.Optimizer)]
    inner = {id(last): last for one in found for last in updating(one) if wanted & _parameters_of(last)}
    return [one for key, one in inner.items() if key not in set(map(id, known))]
