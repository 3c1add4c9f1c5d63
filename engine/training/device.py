"""Choose and describe the device of the network: CUDA, MPS or the CPU."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any, Final

import torch

from engine.config.tree import TrainingConfig
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


def computing(training: TrainingConfig) -> ExitStack:
    """Return a context that computes with the threads and the kernels of a configuration."""
    stack = ExitStack()
    stack.enter_context(thread_count(training.threads))
    stack.enter_context(chosen_kernels(deterministic=training.deterministic))
    return stack


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


@contextmanager
def chosen_kernels(*, deterministic: bool) -> Generator[None]:
    """Compute with kernels that repeat each bit, if `deterministic`; torch warns of an operation that has none.

    Call it before the first operation on a GPU: cuBLAS chooses its workspace there
    (https://pytorch.org/docs/stable/notes/randomness.html).
    """
    if not deterministic:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic  # its attribute has no type
    fills = memory.fill_uninitialized_memory
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # memory is written before it is read
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = fills


def gpu_uuid(device: torch.device) -> str:
    """Return the UUID by which NVIDIA's tools know the GPU; an empty string for other devices."""
    return str(torch.cuda.get_device_properties(device).uuid) if device.type == "cuda" else ""
