"""Read the gradients of foreign optimizers: norms by parameter, and the names of those that are not finite.

Shapes: G parameters with a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from threading import local
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

MOST_PARTS = 16
"""Maximum number of modules whose norms are shown."""
_DIVIDED = 8
"""A part is divided further if it holds more than this share of all parameters: one in eight."""
_SMALL = 8192
"""Number of values up to which NumPy's BLAS uses no further thread."""
_MEDIUM = 8 * _SMALL
"""Number of values up to which one thread is as fast as several; larger gradients are read by torch's threads."""
_IN_CONTEXT = int(np.__version__.partition(".")[0]) >= 2
Result = TypeVar("Result")
_PLAIN = (torch.float32, torch.float64)
"""Types whose sums of squares NumPy computes in the same precision."""
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
    """Squared L2 norms of G gradients in the order of `parameters`, on the host, or on the device until read."""

    parameters: Sequence[Tensor] = ()
    squares: Sequence[float] | Tensor = ()
    total: float = 0.0
    bad: tuple[str, ...] = ()
    part_of: Sequence[str] = field(default_factory=tuple)

    def by_part(self) -> dict[str, float]:
        """Return the gradient norm of each part. Waits for the device."""
        squares = self.squares.tolist() if isinstance(self.squares, Tensor) else self.squares
        sums: dict[str, float] = {}
        for part, square in zip(self.part_of, squares, strict=True):
            sums[part] = sums.get(part, 0.0) + square
        return {part: math.sqrt(square) if square >= 0 else math.nan for part, square in sums.items()}


def part_norms(updates: Iterable[Norms]) -> dict[str, float]:
    """Return the gradient norm of each part over the updates of a step. Waits for the device."""
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
        self._is_plain = False

    def refresh(self) -> None:
        """Read the parameter groups again if parameters were added."""
        count = 0
        for group in self._optimizer.param_groups:
            count += len(group["params"])
        if count != self._count:
            self._count = count
            self.parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
            self._parts = [self._names.part_of(p) for p in self.parameters]
            self._is_plain = all(p.dtype in _PLAIN and p.numel() <= _MEDIUM for p in self.parameters)

    @property
    def is_on_host(self) -> bool:
        """Whether all parameters are in host memory, where reading a number costs no synchronization."""
        return not self.parameters or self.parameters[0].is_cpu

    def read(self) -> Norms:
        """Return the norms of the gradients in host memory, and the names of the non-finite ones."""
        held, parts = self.parameters, self._parts
        squares = _quietly(self._plain_squares) if self._is_plain else None
        if squares is None:
            grads = [p.grad for p in held]
            present = [number for number, grad in enumerate(grads) if grad is not None]
            if len(present) < len(grads):
                held, parts = [held[n] for n in present], [parts[n] for n in present]
            squares = _squares([grad for grad in grads if grad is not None])
        summed = sum(squares)
        if math.isfinite(summed):
            return Norms(held, squares, math.sqrt(summed), (), parts)
        total, bad = math.nan, self.bad_names(held)
        if not bad:  # every entry is finite, and only the sum of squares overflows in float32
            squares = [float(p.grad.double().square().sum()) for p in held if p.grad is not None]
            total = math.sqrt(sum(squares))
        return Norms(held, squares, total, bad, parts)

    def _plain_squares(self) -> list[float] | None:
        """Return the sums of squares if every gradient is a plain array in host memory, else `None`."""
        squares: list[float] = []
        try:
            for parameter in self.parameters:
                flat = parameter.grad.numpy().ravel()  # pyright: ignore[reportOptionalMemberAccess] - caught below
                squares.append(float(flat.dot(flat)) if flat.size <= _SMALL else _sliced_square(flat))
        except (AttributeError, TypeError, RuntimeError):  # none, sparse, or with a graph
            return None
        return squares

    def read_on_device(self) -> Norms:
        """Return the norms as a tensor on the device, without waiting for it."""
        held = [p for p in self.parameters if p.grad is not None]
        parts = [part for p, part in zip(self.parameters, self._parts, strict=True) if p.grad is not None]
        grads = [p.grad for p in held if p.grad is not None]
        norms = torch._foreach_norm(grads)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        return Norms(held, torch.stack([norm.float() for norm in norms]).square(), math.nan, (), parts)

    def weight_norms(self) -> dict[str, float]:
        """Return the L2 norm of the weights of each part."""
        sums: dict[str, float] = {}
        squares = _squares([parameter.detach() for parameter in self.parameters])
        for square, part in zip(squares, self._parts, strict=True):
            sums[part] = sums.get(part, 0.0) + square
        return {part: math.sqrt(square) if square >= 0 else math.nan for part, square in sums.items()}

    def bad_names(self, parameters: Iterable[Tensor]) -> tuple[str, ...]:
        """Return the names of parameters with a non-finite gradient. Waits for the device."""
        return tuple(
            self._names.name_of(p) for p in parameters if p.grad is not None and not bool(_is_finite(_dense(p.grad)))
        )


def _squares(grads: Sequence[Tensor]) -> list[float]:
    """Return the sum of squares of each gradient in host memory: about two microseconds for each small one.

    Threads of NumPy's BLAS are never started: they would go on spinning next to torch's.
    """
    large = [grad for grad in grads if grad.numel() > _MEDIUM]
    norms = iter(_norms(large)) if large else iter(())
    return _quietly(lambda: [next(norms) ** 2 if grad.numel() > _MEDIUM else _square(grad) for grad in grads])


def _quietly(call: Callable[[], Result]) -> Result:
    """Return the result of `call`, in which NumPy reports no overflow.

    NumPy 2 keeps its settings in the context, and entering one takes a tenth of the time of `errstate`.
    """
    if _IN_CONTEXT:
        return _quiet.context.run(call)
    with np.errstate(over="ignore", invalid="ignore"):
        return call()


class _Quiet(local):
    """A context with these settings, for each thread its own: one can be in it at a time."""

    def __init__(self) -> None:
        self.context = copy_context()
        self.context.run(np.seterr, over="ignore", invalid="ignore")


_quiet: Final = _Quiet()


def _sliced_square(flat: NDArray[Any]) -> float:
    """Return the sum of squares of a vector of more than `_SMALL` values."""
    slices = (flat[start : start + _SMALL] for start in range(0, flat.size, _SMALL))
    return float(sum(float(part.dot(part)) for part in slices))


def _norms(grads: list[Tensor]) -> list[float]:
    try:
        norms = torch._foreach_norm(grads)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        return torch.stack([norm.float() for norm in norms]).tolist()
    except (RuntimeError, NotImplementedError):  # sparse
        return [float(_dense(grad.detach()).float().norm()) for grad in grads]


def _square(grad: Tensor) -> float:
    """Return the sum of squares of a gradient in host memory."""
    if grad.dtype in _PLAIN and grad.layout is torch.strided and not grad.requires_grad:
        flat = grad.numpy().ravel()
        return float(flat.dot(flat)) if flat.size <= _SMALL else _sliced_square(flat)
    return float(_dense(grad.detach()).float().square().sum())


def _dense(grad: Tensor) -> Tensor:
    return grad.coalesce().values() if grad.is_sparse else grad


def _is_finite(values: Tensor) -> Tensor:
    return torch.isfinite(values).all()


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence; many are counted."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
