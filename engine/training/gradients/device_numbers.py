"""Numbers of tensors, computed on the device and copied to the host without waiting."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def dense(grad: Tensor) -> Tensor:
    """Return the values of a gradient, of a sparse one those that it holds."""
    return grad.coalesce().values() if grad.is_sparse else grad.detach()


def norms_of(tensors: list[Tensor]) -> list[Tensor]:
    """Return the L2 norm of each tensor, from one fused reduction."""
    found = torch._foreach_norm(tensors)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
    return [norm.float() for norm in found]


def count_filled(tensor: Tensor) -> Tensor:
    """Return the number of values that are not zero."""
    if tensor.is_cuda:  # one reduction, without a mask as large as the tensor
        return torch.linalg.vector_norm(tensor, 0, dtype=torch.float32)
    return torch.count_nonzero(tensor).float()


def stacked(scalars: Sequence[Tensor]) -> Tensor:
    """Return scalars as one vector, on the device of the first."""
    device = scalars[0].device
    return torch.stack([scalar if scalar.device == device else scalar.to(device) for scalar in scalars])


def to_host(vector: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """Return a copy on the host, and on CUDA the event at which it has arrived."""
    if not vector.is_cuda:
        return vector.cpu(), None
    host = torch.empty_like(vector, device="cpu", pin_memory=True)
    host.copy_(vector, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()
    return host, copied
