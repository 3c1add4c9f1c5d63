"""Names for the parameters of networks, and the part of the network to which each belongs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, MutableMapping, Sequence

from torch import Tensor, nn

MOST_PARTS = 16
"""Maximum number of modules whose norms are shown."""
_DIVIDED = 8
"""A part is divided further if it holds more than this share of all parameters: one in eight."""
_MOST_NAMED = 8
"""Maximum number of parameters that a sentence names."""
WRAPPERS = ("_orig_mod", "module", "_fsdp_wrapped_module")
"""The name of the network in the wrappers of `torch.compile` and of data parallelism."""


class ParameterNames:
    """Full names of the parameters of `models`, and the part of the network to which each belongs.

    Parts are submodules: the largest one is divided until there are about `MOST_PARTS`.
    """

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        self.models: MutableMapping[str, nn.Module] = dict(models)
        self.num_changes = 0
        """How often networks were named."""
        self._names: dict[int, str] = {}
        self._part_of: dict[int, str] = {}
        self.add(models)

    def add(self, models: Mapping[str, nn.Module]) -> None:
        """Name the parameters of further networks."""
        self.models.update(models)
        self.num_changes += 1
        parts: dict[str, nn.Module] = {}
        for prefix, wrapped in models.items():
            model = unwrapped(wrapped)
            for name, parameter in model.named_parameters():
                self._names.setdefault(id(parameter), _joined(prefix, name))
            parts |= _parts_of(model, prefix, MOST_PARTS // len(models))
        for part, module in parts.items():
            for parameter in module.parameters():
                self._part_of.setdefault(id(parameter), part)

    def add_new(self, parameters: Iterable[Tensor]) -> None:
        """Name parameters that the networks got after they were named."""
        if self.models and not all(id(parameter) in self._names for parameter in parameters):
            self._names.clear()  # the numbers of tensors that are gone are used again
            self._part_of.clear()
            self.add(self.models)

    def name_of(self, parameter: Tensor) -> str:
        """Return the full name of `parameter`; its shape if it is in no known model."""
        return self._names.get(id(parameter)) or f"a parameter of shape {tuple(parameter.shape)}"

    def part_of(self, parameter: Tensor) -> str:
        """Return the part of `parameter`, or 'other' for none."""
        return self._part_of.get(id(parameter), "other")


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside the wrappers of `torch.compile` and of data parallelism."""
    children = list(model.named_children())
    return unwrapped(children[0][1]) if len(children) == 1 and children[0][0] in WRAPPERS else model


def _parts_of(model: nn.Module, prefix: str, most: int) -> dict[str, nn.Module]:
    """Return submodules that together hold the parameters of `model`, the largest divided first."""
    parts = {prefix or "network": model}
    names = {prefix or "network": prefix}
    done: set[str] = set()
    least = _size(model) / _DIVIDED
    while divisible := [part for part in parts if part not in done and (len(parts) == 1 or _size(parts[part]) > least)]:
        largest = max(divisible, key=lambda part: _size(parts[part]))
        children = [(name, child) for name, child in parts[largest].named_children() if _has_parameters(child)]
        has_own = next(parts[largest].parameters(recurse=False), None) is not None
        if has_own or not children or len(parts) - 1 + len(children) > max(most, 2):
            done.add(largest)
            continue
        path = names.pop(largest)
        parts.pop(largest)
        for name, child in children:
            part = _joined(path, name)
            parts[part], names[part] = child, part
    order = {name: number for number, (name, _) in enumerate(model.named_modules(prefix=prefix))}
    return dict(sorted(parts.items(), key=lambda item: order.get(item[0], 0)))


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix and name else prefix or name


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence; many are counted."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
