"""Whether a checkpoint fits a foreign training, and which of its weights are those of a network."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import torch
from torch import Tensor, nn

from engine.adapters.hooks.gradients.parameter_names import WRAPPERS
from engine.protocol.codec import WireError, from_text
from engine.protocol.wire import state_from_text

_NEEDED: Final = ("step", "state", "books", "good", "optimizers", "stateful", "position", "rng")


def misfit(
    payload: Mapping[str, Any], models: Mapping[str, nn.Module], optimizers: Sequence[torch.optim.Optimizer]
) -> str:
    """Return why a checkpoint cannot be restored; an empty string if it can."""
    lacking = [key for key in _NEEDED if key not in payload]
    if lacking:
        return f"it lacks {', '.join(lacking)}"
    try:
        state_from_text(payload["state"])
        from_text(payload["books"])
    except WireError as error:
        return str(error)
    networks = (_misfit_of_weights(model, prefix, payload["model"]) for prefix, model in models.items())
    if reason := next(filter(None, networks), ""):
        return reason
    count = len(payload["optimizers"])
    if count != len(optimizers):
        return f"it is of {count} optimizers, and the training has {len(optimizers)}"
    pairs = zip(optimizers, payload["optimizers"], strict=True)
    return next(filter(None, (_misfit_of(optimizer, kept["param_groups"]) for optimizer, kept in pairs)), "")


def _misfit_of_weights(model: nn.Module, prefix: str, weights: Mapping[str, Tensor]) -> str:
    """Return why `model`, the network named `prefix`, cannot take the `weights` of a checkpoint."""
    held = weights_for(model, prefix, weights)
    own = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    for name, value in own.items():
        full = full_name(prefix, name)
        if name not in held:
            return f"it lacks {full!r}, which the network has"
        if held[name].shape != value.shape:
            return f"{full!r} is {tuple(held[name].shape)} there and {tuple(value.shape)} in the network"
    return ""


def full_name(prefix: str, name: str) -> str:
    """Return the name in checkpoints of what the network named `prefix` calls `name`."""
    return f"{prefix}.{name}" if prefix else name


def weights_for(model: nn.Module, prefix: str, held: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those of the `held` weights that are of `model`, the network named `prefix`, by its own names.

    The names of a network in `torch.compile` or in data parallelism begin with a wrapper's; it may be in none there.
    """
    begin = f"{prefix}." if prefix else ""
    own = {name.removeprefix(begin): value for name, value in held.items() if name.startswith(begin)}
    here, there = _wrappers_in(model.state_dict()), _wrappers_in(own)
    return {here + name.removeprefix(there): value for name, value in own.items()}


def _wrappers_in(names: Collection[str], begin: str = "") -> str:
    """Return the wrappers with which all `names` begin after `begin`, that included; 'module._orig_mod.' for two."""
    for wrapper in WRAPPERS:
        longer = f"{begin}{wrapper}."
        if names and all(name.startswith(longer) for name in names):
            return _wrappers_in(names, longer)
    return begin


def _misfit_of(optimizer: torch.optim.Optimizer, held: Sequence[Mapping[str, Any]]) -> str:
    """Return why `optimizer` cannot take the `held` parameter groups of a checkpoint; an empty string if it can."""
    groups = optimizer.param_groups
    sizes, own_sizes = ([len(group["params"]) for group in some] for some in (held, groups))
    if sizes != own_sizes:
        return f"its optimizer's groups have {_listed(sizes)} parameters, and the training's {_listed(own_sizes)}"
    if lacking := _options_lacking(optimizer, held):
        return f"it is of another optimizer than {type(optimizer).__name__}: it lacks {', '.join(lacking)}"
    return ""


def _options_lacking(optimizer: torch.optim.Optimizer, held: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the options of `optimizer` that it would not have with the `held` groups. Torch adds what is new in it."""
    trial = object.__new__(type(optimizer))
    with suppress(Exception):  # one of another origin may not be made like this
        trial.__setstate__({"defaults": {}, "state": {}, "param_groups": [{**group, "params": []} for group in held]})
        return sorted(set(optimizer.defaults).difference(*trial.param_groups))
    return []


def _listed(numbers: Iterable[int]) -> str:
    return " and ".join(map(str, numbers))
