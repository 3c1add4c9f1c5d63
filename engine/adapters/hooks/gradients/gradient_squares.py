"""Sums of squares of gradients in host memory, read by one call of torch.

The passes of a training drive all other code out of the processor's caches. What counts in a step is how much code
reads the gradients, not how often it is called. Copies into one array and products of BLAS take longer than this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

# A name of this module: each step of a training looks it up, and that of torch is far away in memory by then.
_norm: Final[Callable[..., Sequence[Tensor]]] = torch._foreach_norm  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
_SHORT: Final = (torch.float16, torch.bfloat16)
"""Types too short for the norm of a gradient."""


def dtype_of_norms(parameters: Iterable[Tensor]) -> torch.dtype | None:
    """Return the type in which the norms of the gradients are computed, `None` for that of each gradient."""
    return torch.float32 if any(p.dtype in _SHORT for p in parameters) else None


def squares_of(grads: list[Any], dtype: torch.dtype | None) -> list[float] | None:
    """Return the sum of squares of each gradient, `None` unless every one is a dense tensor.

    `dtype` is that of the norms. A sum that overflows in it is infinite.
    """
    try:
        return [(norm := one.item()) * norm for one in _norm(grads, 2, dtype)]
    except (TypeError, RuntimeError):  # none, or sparse
        return None


def dense(grad: Tensor) -> Tensor:
    """Return the real values of a gradient, without the zeros that a sparse one leaves out."""
    values = grad.coalesce().values() if grad.is_sparse else grad
    return torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
