"""Read the gradients of foreign optimizers: norms by parameter, and the names of those that are not finite."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import compress

import torch
from torch import Tensor

from .divided_gradients import DividedGradients, divided_among
from .gradient_norms import Norms
from .gradient_squares import dense, dtype_of_norms, squares_of
from .parameter_names import ParameterNames

_MOST_LOOKS = 16
"""Maximum number of lists of parts that are kept: which parameters have a gradient may differ from step to step."""


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
        self._divided: DividedGradients | None = None

    def refresh(self) -> bool:
        """Read the parameter groups again if they changed. Return `is_read_now`.

        Raises UserError if the processes divide the network in a way that leaves some without a part.
        """
        try:  # lists compare the identity of their items first
            is_same = [group["params"] for group in self._optimizer.param_groups] == self._held
        except RuntimeError:  # another tensor in the same place, which has no single truth value
            is_same = False
        if not is_same:
            self._read_groups()
        return self.is_read_now

    def _read_groups(self) -> None:
        self._held = [group["params"][:] for group in self._optimizer.param_groups]
        is_first, self.parameters = not self.parameters, [p for params in self._held for p in params]
        if not is_first:
            self._names.add_new(self.parameters)
        self._parts = [self._names.part_of(p) for p in self.parameters]
        self._dtype = dtype_of_norms(self.parameters)
        self._looks.clear()
        self._look()
        self._divided = divided_among(self.parameters, self._names.models.values())

    @property
    def is_read_now(self) -> bool:
        """Whether all parameters are in host memory, where reading a number costs no synchronization, or divided."""
        return not self.parameters or self.parameters[0].is_cpu or self.is_divided

    @property
    def is_divided(self) -> bool:
        """Whether the processes of the training divide the parameters among them."""
        return self._divided is not None

    def read(self) -> Norms:
        """Return the norms of the gradients, and the names of the non-finite ones, if `is_read_now`."""
        if self._divided is not None:
            squares = self._divided.squares()
            bad = tuple(map(self.name_of, compress(self.parameters, (not math.isfinite(one) for one in squares))))
            return Norms(squares, math.nan if bad else math.sqrt(sum(squares)), bad, self._parts)
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
        """Return the L2 norm of the weights of each part; of a divided network none, as this process has no whole."""
        sums: dict[str, float] = {}
        if self.is_divided:
            return sums
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
