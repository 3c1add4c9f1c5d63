"""Read the gradients of foreign optimizers: norms by parameter, and the names of those that are not finite.

Shapes: G parameters with a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress

import torch
from torch import Tensor, nn

from .gradient_squares import GradientLayout, dense, quietly, squares_of

MOST_PARTS = 16
"""Maximum number of modules whose norms are shown."""
_DIVIDED = 8
"""A part is divided further if it holds more than this share of all parameters: one in eight."""
_MOST_LAYOUTS = 16
"""Maximum number of layouts that are kept: which parameters have a gradient may differ from step to step."""
_MOST_NAMED = 8
"""Maximum number of parameters that a sentence names."""


class ParameterNames:
    """Full names of the parameters of `models`, and the part of the network to which each belongs.

    Parts are submodules: the largest one is divided until there are about `MOST_PARTS`.
    """

    def __init__(self, models: Mapping[str, nn.Module]) -> None:
        self.models = dict(models)
        self._names: dict[int, str] = {}
        self._part_of: dict[int, str] = {}
        self.add(models)

    def add(self, models: Mapping[str, nn.Module]) -> None:
        """Name the parameters of further networks."""
        self.models |= models
        parts: dict[str, nn.Module] = {}
        for prefix, wrapped in models.items():
            model = unwrapped(wrapped)
            for name, parameter in model.named_parameters():
                self._names.setdefault(id(parameter), _joined(prefix, name))
            parts |= _parts_of(model, prefix, MOST_PARTS // len(models))
        for part, module in parts.items():
            for parameter in module.parameters():
                self._part_of.setdefault(id(parameter), part)

    def name_of(self, parameter: Tensor) -> str:
        """Return the full name of `parameter`; its shape if it is in no known model."""
        return self._names.get(id(parameter)) or f"a parameter of shape {tuple(parameter.shape)}"

    def part_of(self, parameter: Tensor) -> str:
        """Return the part of `parameter`, or 'other' for none."""
        return self._part_of.get(id(parameter), "other")


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside the wrappers of `torch.compile` and of data parallelism."""
    for wrapper in ("_orig_mod", "module"):
        inner = model._modules.get(wrapper)  # pyright: ignore[reportPrivateUsage]
        if isinstance(inner, nn.Module) and len(model._modules) == 1:  # pyright: ignore[reportPrivateUsage]
            return unwrapped(inner)
    return model


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
    found: dict[str, float] = {}
    for norms in updates:
        for part, norm in norms.by_part().items():
            found[part] = math.hypot(found.get(part, 0.0), norm)
    return found


class GradientReader:
    """Reads the gradients of one optimizer's parameters."""

    def __init__(self, optimizer: torch.optim.Optimizer, names: ParameterNames) -> None:
        self._optimizer = optimizer
        self._names = names
        self._count = -1
        self.parameters: list[Tensor] = []
        self._parts: list[str] = []
        self._absent: list[Tensor] = []
        self._layout = GradientLayout((), ())
        self._layouts: dict[tuple[bool, ...], GradientLayout] = {}
        self._present_parts: dict[tuple[bool, ...], list[str]] = {}

    def refresh(self) -> bool:
        """Read the parameter groups again if parameters were added. Return whether all are in host memory."""
        count = 0
        for group in self._optimizer.param_groups:
            count += len(group["params"])
        if count != self._count:
            self._count = count
            self.parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
            self._parts = [self._names.part_of(p) for p in self.parameters]
            self._layouts.clear()
            self._present_parts.clear()
            self._choose_layout()
        return self.is_on_host

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
            squares = self._layout.squares()
        if squares is None:
            self._choose_layout()
            squares = self._layout.squares()
        if squares is not None and math.isfinite(summed := sum(squares)):
            return Norms(squares, math.sqrt(summed), (), self._layout.part_of)
        return self._read_each()

    def _choose_layout(self) -> None:
        """Lay out the parameters that have a gradient now: some get none in this step, or never."""
        present = tuple(p.grad is not None for p in self.parameters)
        self._absent = [p for p, is_here in zip(self.parameters, present, strict=True) if not is_here]
        if present not in self._layouts:
            if len(self._layouts) >= _MOST_LAYOUTS:
                self._layouts.clear()
            held = list(compress(self.parameters, present))
            self._layouts[present] = GradientLayout(held, list(compress(self._parts, present)))
        self._layout = self._layouts[present]

    def _read_each(self) -> Norms:
        """Return the norms of the gradients, each of them read alone."""
        held = [(p, part) for p, part in zip(self.parameters, self._parts, strict=True) if p.grad is not None]
        grads = [p.grad for p, _ in held if p.grad is not None]
        parts = [part for _, part in held]
        squares = quietly(lambda: squares_of(grads))
        summed = sum(squares)
        if math.isfinite(summed):
            return Norms(squares, math.sqrt(summed), (), parts)
        total, bad = math.nan, self.bad_names(p for p, _ in held)
        if not bad:  # every entry is finite, and only the sum of squares overflows in float32
            squares = self.squares_in_double()
            total = math.sqrt(sum(squares))
        return Norms(squares, total, bad, parts)

    def squares_in_double(self) -> list[float]:
        """Return the sums of squares of the gradients, which overflow in float32. Waits for the device."""
        return [float(p.grad.cpu().double().square().sum()) for p in self.parameters if p.grad is not None]

    def read_on_device(self) -> Norms:
        """Return the norms, which stay on the device, without waiting for it."""
        grads = [
            p.grad if p.grad.layout is torch.strided else dense(p.grad) for p in self.parameters if p.grad is not None
        ]
        if not grads:
            return Norms(total=math.nan, late=self.parameters[0].new_zeros(0, dtype=torch.float32))
        if len(grads) == len(self.parameters):
            parts = self._parts
        else:
            present = tuple(p.grad is not None for p in self.parameters)
            parts = self._present_parts.setdefault(present, list(compress(self._parts, present)))
        norms = torch._foreach_norm(grads, dtype=torch.float32)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        first = norms[0].device  # a network may be divided among several
        together = torch.stack([norm if norm.device == first else norm.to(first) for norm in norms])
        return Norms(part_of=parts, total=math.nan, late=together)

    def weight_norms(self) -> dict[str, float]:
        """Return the L2 norm of the weights of each part."""
        sums: dict[str, float] = {}
        squares = quietly(lambda: squares_of([parameter.detach() for parameter in self.parameters]))
        for square, part in zip(squares, self._parts, strict=True):
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
