"""Sums of squares of gradients in host memory, read with as few calls as possible.

A call for each gradient costs a training of small layers more than the numbers themselves. So small gradients are
copied into one array by one call, in which those of one part of the network are neighbours. The passes of a network
with large ones drive this code out of the processor's caches: there one function of torch reads all gradients sooner.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import copy_context
from threading import local
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SMALL: Final = 8192
"""Number of values up to which NumPy's BLAS uses no further thread."""
_MEDIUM: Final = 8 * _SMALL
"""Number of values up to which one thread is as fast as several; larger gradients are read by torch's threads."""
_PLAIN: Final = (torch.float32, torch.float64)
"""Types whose sums of squares NumPy computes in the same precision."""
_IN_CONTEXT: Final = int(np.__version__.partition(".")[0]) >= 2
# Names of this module: each step of a training looks them up, and those of torch are far away in memory by then.
_copy: Final[Callable[[list[Tensor], list[Tensor]], None]] = torch._foreach_copy_  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
_norm: Final[Callable[..., Sequence[Tensor]]] = torch._foreach_norm  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
_record: Final[Callable[[bool], None]] = torch._C._set_grad_enabled  # pyright: ignore[reportPrivateUsage] - a context costs twice as much
_is_recorded: Final = torch.is_grad_enabled
Result = TypeVar("Result")


class GradientLayout:
    """Where the gradients of `parameters`, which have one, are read: small ones together, and large ones alone.

    If there are large ones, all are read alone, unless their type is too short for their sum. `parts` are the parts of
    the network to which the parameters belong. `part_of` has the part of each sum of squares: several sums may be of
    one part.
    """

    def __init__(self, parameters: Sequence[Tensor], parts: Sequence[str]) -> None:
        order = {part: number for number, part in enumerate(dict.fromkeys(parts))}
        held = sorted(zip(parameters, parts, strict=True), key=lambda item: order[item[1]])
        is_small = all(p.numel() <= _SMALL and p.is_floating_point() for p in parameters)
        self._is_plain = not is_small and all(p.dtype in _PLAIN for p in parameters)
        small = [(p, part) for p, part in held if not self._is_plain and p.numel() <= _SMALL and p.is_floating_point()]
        placed = {id(p) for p, _ in small}
        large = [(p, part) for p, part in held if id(p) not in placed]
        self._small = [p for p, _ in small]
        self._large = [p for p, _ in large]
        self._places: list[Tensor] = []
        self._dots: list[tuple[Callable[[NDArray[Any]], float], NDArray[Any]]] = []
        self.part_of = (*(self._place(small) if small else ()), *(part for _, part in large))

    def _place(self, small: Sequence[tuple[Tensor, str]]) -> Sequence[str]:
        """Lay out the small gradients in one array. Return the part of each piece of it."""
        dtype = torch.float64 if any(p.dtype is torch.float64 for p, _ in small) else torch.float32
        sizes = [p.numel() for p, _ in small]
        flat = torch.empty(sum(sizes), dtype=dtype)
        self._places = [place.view(p.shape) for (p, _), place in zip(small, flat.split(sizes), strict=True)]
        part_of: list[str] = []
        start = 0
        for part in dict.fromkeys(part for _, part in small):
            end = start + sum(p.numel() for p, own in small if own == part)
            pieces = [flat[begin : min(begin + _SMALL, end)].numpy() for begin in range(start, end, _SMALL)]
            self._dots += [(piece.dot, piece) for piece in pieces]
            part_of += [part] * len(pieces)
            start = end
        return part_of

    def squares(self) -> list[float] | None:
        """Return the sums of squares if every gradient is a dense one, else `None`."""
        try:
            if self._is_plain:  # few lines: the passes of such a network have driven them out of the caches
                grads: Any = [p.grad for p in self._large]
                return [(norm := one.item()) * norm for one in _norm(grads)]
            return quietly(self._squares_by_array)
        except (AttributeError, TypeError, RuntimeError):  # none, or sparse
            return None

    def _squares_by_array(self) -> list[float]:
        grads: Any = [p.grad for p in self._small]
        is_recorded = _is_recorded()
        _record(False)
        try:
            if grads:
                _copy(self._places, grads)
            found = [float(dot(piece)) for dot, piece in self._dots]
            if self._large:
                large: Any = [p.grad for p in self._large]
                found += squares_of(large)
        finally:
            _record(is_recorded)
        return found


def squares_of(grads: Sequence[Tensor]) -> list[float]:
    """Return the sum of squares of each gradient in host memory: about two microseconds for each small one.

    Threads of NumPy's BLAS are never started: they would go on spinning next to torch's.
    """
    large = [grad for grad in grads if grad.numel() > _MEDIUM]
    norms = iter(_norms(large)) if large else iter(())
    return [next(norms) ** 2 if grad.numel() > _MEDIUM else _square(grad) for grad in grads]


def quietly(call: Callable[[], Result]) -> Result:
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


def _norms(grads: list[Tensor]) -> list[float]:
    try:
        return torch.stack([norm.float() for norm in _norm(grads)]).tolist()
    except (RuntimeError, NotImplementedError):  # sparse
        return [float(dense(grad.detach()).float().norm()) for grad in grads]


def _square(grad: Tensor) -> float:
    """Return the sum of squares of a gradient in host memory."""
    if grad.dtype in _PLAIN and grad.layout is torch.strided and not grad.requires_grad:
        flat = grad.numpy().ravel()
        return float(flat.dot(flat)) if flat.size <= _SMALL else _sliced_square(flat)
    return float(dense(grad.detach()).float().square().sum())


def _sliced_square(flat: NDArray[Any]) -> float:
    """Return the sum of squares of a vector of more than `_SMALL` values."""
    slices = (flat[start : start + _SMALL] for start in range(0, flat.size, _SMALL))
    return float(sum(float(part.dot(part)) for part in slices))


def dense(grad: Tensor) -> Tensor:
    """Return the real values of a gradient, without the zeros that a sparse one leaves out."""
    values = grad.coalesce().values() if grad.is_sparse else grad
    return torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
