"""Whether a checkpoint fits a foreign training, and which of its weights are those of a network."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import torch
from torch import Tensor, nn

from engine.adapters.hooks.gradients.parameter_names import WRAPPERS
from engine.protocol.codec import WireError, from_text
from engine.protocol.wire import state_from_text
from engine.training.checkpoint.values import copy_to_host

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
    return next(filter(None, (_misfit_of(optimizer, kept) for optimizer, kept in pairs)), "")


def _misfit_of_weights(model: nn.Module, prefix: str, weights: Mapping[str, Tensor]) -> str:
    """Return why `model`, the network named `prefix`, cannot take the `weights` of a checkpoint."""
    held = weights_for(model, prefix, weights)
    own = {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}
    for name, value in own.items():
        full = full_name(prefix, name)
        if name not in held:
            return f"it lacks {full!r}, which the network has"
        if held[name].shape != value.shape and not _takes(model, held):
            return f"{full!r} is {tuple(held[name].shape)} there and {tuple(value.shape)} in the network"
    return ""


def _takes(model: nn.Module, held: Mapping[str, Tensor]) -> bool:
    """Return whether a copy of `model` loads weights of other shapes, as that of observers for quantization does."""
    try:
        copy.deepcopy(model).load_state_dict(held, strict=False)
    except Exception:  # torch's own is a RuntimeError; some networks cannot be copied
        return False
    return True


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


def _misfit_of(optimizer: torch.optim.Optimizer, held: Mapping[str, Any]) -> str:
    """Return why `optimizer` cannot take the `held` state of a checkpoint; an empty string if it can."""
    groups, kept = optimizer.param_groups, held["param_groups"]
    sizes, own_sizes = ([len(group["params"]) for group in some] for some in (kept, groups))
    if sizes != own_sizes:
        return f"its optimizer's groups have {_listed(sizes)} parameters, and the training's {_listed(own_sizes)}"
    other = f"it is of another optimizer than {type(optimizer).__name__}"
    if lacking := _options_lacking(optimizer, kept):
        return f"{other}: it lacks {', '.join(lacking)}"
    lacked = _moment_lacking(optimizer, held["state"], kept)
    return f"{other}: its moments lack {lacked}" if lacked else ""


def _options_lacking(optimizer: torch.optim.Optimizer, held: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the options of `optimizer` that it would not have with the `held` groups. Torch adds what is new in it."""
    with suppress(Exception):  # one of another origin may not be made like this
        trial = _like(optimizer, {}, [{**group, "params": []} for group in held])
        return sorted(set(optimizer.defaults).difference(*trial.param_groups))
    return []


def _moment_lacking(
    optimizer: torch.optim.Optimizer, held: Mapping[int, Any], groups: Sequence[Mapping[str, Any]]
) -> str:
    """Return what `optimizer` looks for in vain in the `held` states: it updates a copy of its smallest parameter."""
    owned = [p for group in optimizer.param_groups for p in group["params"]]
    group_of = {number: group for group in groups for number in group["params"]}
    known = [(number, p) for number, p in zip(group_of, owned, strict=True) if held.get(number)]
    if not known or not type(optimizer).__module__.startswith("torch.optim."):
        return ""
    number, smallest = min(known, key=lambda pair: pair[1].numel())
    copied = torch.zeros_like(smallest, device="cpu")
    copied.grad = torch.zeros_like(copied)
    try:
        trial = _like(optimizer, {copied: copy_to_host(held[number])}, [{**group_of[number], "params": [copied]}])
        inspect.unwrap(type(optimizer).step)(trial)
    except KeyError as error:
        return str(error)
    except Exception:  # it takes only a closure, or only parameters that are not on the host
        return ""
    return ""


def _like(optimizer: torch.optim.Optimizer, state: Any, groups: Sequence[Any]) -> torch.optim.Optimizer:
    """Return an optimizer of the same kind without hooks of anyone's."""
    trial = object.__new__(type(optimizer))
    trial.__setstate__({"defaults": {}, "state": state, "param_groups": groups})
    return trial


def _listed(numbers: Iterable[int]) -> str:
    return " and ".join(map(str, numbers))
