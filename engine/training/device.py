"""Choose and describe the device of the network: CUDA, MPS or the CPU."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch

from engine.errors import UserError


def choose_device(wanted: str) -> torch.device:
    """Return the device named `wanted`; `auto` selects CUDA, then MPS, then the CPU.

    Raises UserError if the device does not exist.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, there in available.items() if there))
    if not available.get(wanted, False):
        raise UserError(f"--device {wanted}: this machine has no such device; use --device auto or --device cpu")
    return torch.device(wanted)


def describe(device: torch.device) -> str:
    """Return the device's display name, such as `cuda (NVIDIA H100)` or `cpu (2 threads)`."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"cpu ({threads} thread{'' if threads == 1 else 's'})" if device.type == "cpu" else device.type


@contextmanager
def thread_count(count: int | str) -> Generator[None]:
    """Compute with `count` threads in the block; 0, or a word that was not resolved, for torch's own number."""
    before = torch.get_num_threads()
    if isinstance(count, int) and count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def gpu_uuid(device: torch.device) -> str:
    """Return the UUID by which NVIDIA's tools know the GPU; an empty string for other devices."""
    return str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else ""
