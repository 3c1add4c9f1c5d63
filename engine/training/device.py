"""Choose and describe the device of the network: CUDA, MPS or the CPU."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from itertools import pairwise
from typing import Final

import torch

from engine.errors import UserError

_MIB: Final = 2**20


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


def describe(device: torch.device, num_ranks: int = 1) -> str:
    """Return the device's display name, such as `cuda (NVIDIA H100)` or `2 ranks of cpu (1 thread)`."""
    if num_ranks > 1:
        return f"{num_ranks} ranks of {describe(device)}"
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"cpu ({threads} thread{'' if threads == 1 else 's'})" if device.type == "cpu" else device.type


class PeakMemory:
    """Measures the peak of the memory of a CUDA device from step to step; nothing on other devices."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._limit = torch.cuda.get_device_properties(device).total_memory / _MIB if device.type == "cuda" else 0.0

    def take(self) -> dict[str, float]:
        """Return the peak since the last call and the device's memory, in MiB. The host does not wait."""
        if not self._limit:
            return {}
        peak = torch.cuda.max_memory_allocated(self._device) / _MIB
        torch.cuda.reset_peak_memory_stats(self._device)
        return {"system/gpu_memory_peak": peak, "system/gpu_memory_limit": self._limit}


class PartTimer:
    """Divides a step's time into parts: by the host's clock, or by events on a CUDA device, which block nothing."""

    def __init__(self, device: torch.device) -> None:
        self._on_cuda = device.type == "cuda"
        self._ends: list[tuple[str, float]] = []
        self._events: list[tuple[str, torch.cuda.Event]] = []
        self.mark("")

    def mark(self, part: str) -> None:
        """Count the time since the last mark as `part`; an empty string for none."""
        if not self._on_cuda:
            self._ends.append((part, time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._events.append((part, event))

    def seconds(self) -> dict[str, float]:
        """Return the seconds of each part. The device must have finished them."""
        parts: dict[str, float] = {}
        for (_, began), (part, ended) in pairwise(self._ends):
            if part:
                parts[part] = parts.get(part, 0.0) + ended - began
        for (_, before), (part, after) in pairwise(self._events):
            if part:
                parts[part] = parts.get(part, 0.0) + before.elapsed_time(after) / 1000
        return parts


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
