"""Small questions about what users hand over: networks by name, batches, loaders and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, SupportsFloat, SupportsIndex, TypeGuard, TypeVar

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from engine.errors import UserError

Part = TypeVar("Part")
_NAMES: Final[Mapping[type[Any], str]] = {nn.Module: "torch.nn.Module", Optimizer: "torch.optim.Optimizer"}
"""The names by which users know the classes."""
_SEQUENCES: Final = (list, tuple)
_COUNTED: Final = "_IterableDataset_len_called"
"""Attribute of a DataLoader over an iterable dataset: its length, once it was asked for."""

# `Any`: users hand over one object, several, or several by name, and batches of any structure.


def by_name(parts: Any, kind: type[Part]) -> dict[str, Part]:
    """Return networks or optimizers by name; a single one has an empty name.

    Raises UserError for none, and TypeError for one that is not of `kind`.
    """
    if isinstance(parts, Mapping):
        named = {str(name): part for name, part in parts.items()}
    elif isinstance(parts, list | tuple):
        named = {str(number) if len(parts) > 1 else "": part for number, part in enumerate(parts)}
    else:
        named = {"": parts}
    if not named:
        raise UserError("Cockpit(model, optimizer) needs at least one network and one optimizer")
    strangers = [one for one in named.values() if not isinstance(one, kind)]
    if strangers:
        remedy = "; nn.ParameterList([...]) holds tensors" if isinstance(strangers[0], Tensor) else ""
        raise TypeError(f"a {type(strangers[0]).__name__} is no {_NAMES[kind]}{remedy}")
    return named


def count_samples(batch: Any) -> int:
    """Return the number of samples in a batch: the length of its first tensor; 0 if unknown."""
    if isinstance(batch, Tensor):
        return batch.size(0) if batch.ndim else 0
    if isinstance(batch, _SEQUENCES):
        if batch and isinstance(first := batch[0], Tensor) and first.ndim and (count := first.size(0)):
            return count  # of nearly all batches, without a second call
        values = batch
    elif isinstance(batch, Mapping):
        values = batch.values()
    else:
        return 0
    for value in values:
        if count := count_samples(value):
            return count
    return 0


def length_of(loader: Any) -> int:
    """Return the number of batches of an epoch; 0 if unknown."""
    counted = getattr(loader, _COUNTED, None)
    try:
        return len(loader)
    except Exception:  # a generator, an iterable dataset, or a loader that does not know: each has its own error
        return 0
    finally:
        if counted is None and getattr(loader, _COUNTED, None) is not None:
            setattr(loader, _COUNTED, None)  # or torch warns of each batch beyond it: the program has not asked


def is_number(value: object) -> TypeGuard[float | Tensor]:
    """Return whether `value` is a single real number: one of Python or NumPy, or a tensor of one entry."""
    if isinstance(value, Tensor):
        return value.numel() == 1 and not value.is_complex()
    if type(value) is float:
        return True
    if not isinstance(value, SupportsFloat | SupportsIndex) or getattr(value, "size", 1) != 1:
        return False
    try:
        float(_entry(value))
    except (TypeError, ValueError, OverflowError):  # a text or a date of NumPy, or an integer without bound
        return False
    return True


def number_of_term(value: float | Tensor) -> float | Tensor:
    """Return the value of a loss term, which stays on its device: of a loss by sample the mean, of a number itself."""
    if not isinstance(value, Tensor):
        return float(value)
    value = value.detach() if value.numel() == 1 else value.detach().float().mean()
    return value.item() if value.is_cpu else value


def _entry(value: Any) -> Any:
    """Return the only entry of an array of NumPy, and any other value unchanged."""
    return value.item() if isinstance(value, np.ndarray) else value


def on_host(value: float | Tensor) -> float | Tensor:
    """Return a logged number without its graph: as a float from the host, as a tensor from a device.

    Reading it from a device would wait for all work there.
    """
    if not isinstance(value, Tensor):
        return _entry(value)
    value = value.detach()  # a logged number may have a graph, which must not live on
    return float(value) if value.device.type == "cpu" else value
