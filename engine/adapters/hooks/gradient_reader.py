"""Read the gradients of foreign optimizers: norms by parameter, and the names of those that are not finite.

Shapes: G parameters with a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress

import torch
from torch import Tensor, nn

from .gradient_squares import dense, dtype_of_norms, squares_of

MOST_PARTS = 16
"""Maximum number of modules whose norms are shown."""
_DIVIDED = 8
"""A part is divided further if it holds more than this share of all parameters: one in eight."""
_MOST_LOOKS = 16
"""Maximum number of lists of parts that are kept: which parameters have a gradient may differ from step to step."""
_MOST_NAMED = 8
"""Maximum number of parameters that a sentence names."""
WRAPPERS = ("_orig_mod", "module")
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


@dataclass(slots=True)
class Norms:
    """Sums of squares that together are those of G gradients. `part_of` has the part of the network for each.

    `late` are norms, (G,) float32, that are still on a device; there are no sums then.
    """

    squares: Sequence[float] = ()
    total: float = 0.0
    bad: tuple[str, ...] = ()
    part_of: Sequence[str] = field(default_factory=tuple)
    late: Tensor | None = None

    def arrived(self, norms: Sequence[float], divisor: float = 1.0) -> Norms:
        """Return the norms on the host; gradients are `divisor` times what they mean."""
        squares = [(norm / divisor) ** 2 for norm in norms]
        return Norms(squares, math.sqrt(sum(squares)), (), self.part_of)

    def by_part(self) -> dict[str, float]:
        """Return the gradient norm of each part."""
        sums: dict[str, float] = {}
        for part, square in zip(self.part_of, self.squares, strict=True):
            sums[part] = sums.get(part, 0.0) + square
        return {part: math.sqrt(square) if square >= 0 else math.nan for part, square in sums.items()}


def part_norms(updates: Iterable[Norms]) -> dict[str, float]:
    """Return the gradient norm of each part over the updates of a step."""
    return combined(norms.by_part() for norms in updates)


def combined(norms: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the norm of each part over several sets of tensors."""
    found: dict[str, float] = {}
    for part, norm in chain.from_iterable(one.items() for one in norms):
        found[part] = math.hypot(found.get(part, 0.0), norm)
    return found


class GradientReader:
    """Reads the gradients of one optimizer's parameters."""

    def __init__(self, optimizer: torch.optim.Optimizer, names: ParameterNames) -> None:
        self._optimizer = optimizer
        self._names = names
        self._held: list[list[Tensor]] = []
        """The parameters of each group at the last look. A program may put others in their place."""
        self.parameters: list[Tensor] = []
        self._parts: list[str] = []
        self._present: list[Tensor] = []
        """The parameters with a gradient at the last look, and `_part_of` their parts; `_absent` are the others."""
        self._absent: list[Tensor] = []
        self._part_of: list[str] = []
        self._looks: dict[tuple[bool, ...], list[str]] = {}
        self._dtype: torch.dtype | None = None

    def refresh(self) -> bool:
        """Read the parameter groups again if they changed. Return whether all parameters are in host memory."""
        try:  # lists compare the identity of their items first
            is_same = [group["params"] for group in self._optimizer.param_groups] == self._held
        except RuntimeError:  # another tensor in the same place, which has no single truth value
            is_same = False
        if not is_same:
            self._read_groups()
        return self.is_on_host

    def _read_groups(self) -> None:
        self._held = [group["params"][:] for group in self._optimizer.param_groups]
        is_first, self.parameters = not self.parameters, [p for params in self._held for p in params]
        if not is_first:
            self._names.add_new(self.parameters)
        self._parts = [self._names.part_of(p) for p in self.parameters]
        self._dtype = dtype_of_norms(self.parameters)
        self._looks.clear()
        self._look()

    @property
    def is_on_host(self) -> bool:
        """Whether all parameters are in host memory, where reading a number costs no synchronization."""
        return not self.parameters or self.parameters[0].is_cpu

    def read(self) -> Norms:
        """Return the norms of the gradients in host memory, and the names of the non-finite ones."""
        squares = None
        for parameter in self._absent:
            if parameter.grad is not None:
                break
        else:
            squares = squares_of([p.grad for p in self._present], self._dtype)
        if squares is None:
            self._look()
            squares = squares_of([p.grad for p in self._present], self._dtype)
        if squares is not None and math.isfinite(summed := sum(squares)):
            return Norms(squares, math.sqrt(summed), (), self._part_of)
        squares = self.squares_in_double()
        bad = self.bad_names(self._present)
        return Norms(squares, math.nan if bad else math.sqrt(sum(squares)), bad, self._part_of)

    def _look(self) -> None:
        """Find the parameters that have a gradient now: some get none in this step, or never."""
        found = tuple(p.grad is not None for p in self.parameters)
        self._present = list(compress(self.parameters, found))
        self._absent = [p for p, is_here in zip(self.parameters, found, strict=True) if not is_here]
        if found not in self._looks and len(self._looks) >= _MOST_LOOKS:
            self._looks.clear()
        self._part_of = self._looks.setdefault(found, list(compress(self._parts, found)))

    def squares_in_double(self) -> list[float]:
        """Return the sums of squares of the gradients, which overflow in float32. Waits for the device."""
        return [float(dense(p.grad).cpu().double().square().sum()) for p in self.parameters if p.grad is not None]

    def read_on_device(self) -> Norms:
        """Return the norms, which stay on the device, without waiting for it."""
        self._look()
        if not self._present:
            return Norms(total=math.nan, late=self.parameters[0].new_zeros(0, dtype=torch.float32))
        grads = [g if g.layout is torch.strided else dense(g) for p in self._present if (g := p.grad) is not None]
        norms = torch._foreach_norm(grads, dtype=torch.float32)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        first = norms[0].device  # a network may be divided among several
        together = torch.stack([norm if norm.device == first else norm.to(first) for norm in norms])
        return Norms(part_of=self._part_of, total=math.nan, late=together)

    def weight_norms(self) -> dict[str, float]:
        """Return the L2 norm of the weights of each part."""
        sums: dict[str, float] = {}
        squares = squares_of([p.detach() for p in self.parameters], self._dtype)
        for square, part in zip(squares or (), self._parts, strict=squares is not None):
            sums[part] = sums.get(part, 0.0) + square
        return {part: math.sqrt(square) if square >= 0 else math.nan for part, square in sums.items()}

    def present(self) -> list[Tensor]:
        """Return the parameters that have a gradient now."""
        return [p for p in self.parameters if p.grad is not None]

    def name_of(self, parameter: Tensor) -> str:
        """Return the full name of `parameter`."""
        return self._names.name_of(parameter)

    def bad_names(self, parameters: Iterable[Tensor]) -> tuple[str, ...]:
        """Return the names of parameters with a non-finite gradient. Waits for the device."""
        return tuple(
            self._names.name_of(p) for p in parameters if p.grad is not None and not bool(_is_finite(dense(p.grad)))
        )


def _is_finite(values: Tensor) -> Tensor:
    return torch.isfinite(values).all()


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence; many are counted."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
