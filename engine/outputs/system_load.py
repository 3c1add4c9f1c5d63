"""Load of the machine: processor, memory of this process, and the training GPU, without torch."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from threading import Event as Signal
from threading import Thread
from types import MappingProxyType
from typing import Any, Final, Protocol

import psutil

_LOG: Final = logging.getLogger(__name__)

_SECONDS_BETWEEN_SAMPLES: Final = 1.0
_SECONDS_TO_FIRST: Final = 0.1
"""Seconds from the start to the first sample. The processor load is measured between two samples."""
_MIB: Final = 2**20
_NOTHING: Final[Mapping[str, float]] = MappingProxyType({})


class Gpu(Protocol):
    """A GPU whose load can be read."""

    def read(self) -> Mapping[str, float]:
        """Return `system/gpu` in % and `system/gpu_memory` in MiB, without unavailable values."""
        ...


class SystemLoad:
    """Samples the machine in its own thread about once a second. It never raises; unavailable values are left out.

    `gpu_uuid` is CUDA's name of the GPU, or an empty string for none.
    """

    def __init__(self, gpu_uuid: str = "") -> None:
        self._gpu_uuid = gpu_uuid
        self._newest: Mapping[str, float] = _NOTHING
        self._closing = Signal()

    @property
    def newest(self) -> Mapping[str, float]:
        """The newest sample: `system/cpu` (% of the machine), `system/memory` (MiB resident) and two GPU values.

        It is empty before the first sample. Reading is free: the thread replaces the whole mapping.
        """
        return self._newest

    @contextmanager
    def watched(self) -> Generator[None]:
        """Sample while the block runs."""
        self._closing.clear()
        thread = Thread(target=self._work, name="system-load", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._closing.set()
            thread.join(2 * _SECONDS_BETWEEN_SAMPLES)

    def _work(self) -> None:
        process = psutil.Process()
        gpu = find_gpu(self._gpu_uuid)
        psutil.cpu_percent(None)
        seconds = _SECONDS_TO_FIRST
        while not self._closing.wait(seconds):
            self._newest = MappingProxyType({**_machine(process), **(gpu.read() if gpu else {})})
            seconds = _SECONDS_BETWEEN_SAMPLES


def _machine(process: psutil.Process) -> Mapping[str, float]:
    try:
        return {"system/cpu": psutil.cpu_percent(None), "system/memory": process.memory_info().rss / _MIB}
    except (psutil.Error, OSError):  # a system that hides /proc from its processes
        return {}


class NvmlGpu:
    """A GPU read through NVIDIA's management library."""

    def __init__(self, nvml: Any, handle: Any) -> None:  # pynvml has no types
        self._nvml = nvml
        self._handle = handle

    def read(self) -> Mapping[str, float]:
        """Return the load in % and the memory used by all processes in MiB."""
        sample: dict[str, float] = {}
        try:
            sample["system/gpu_memory"] = self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used / _MIB
            sample["system/gpu"] = float(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu)
        except self._nvml.NVMLError:
            return sample
        return sample


def find_gpu(uuid: str) -> Gpu | None:
    """Return the GPU with CUDA's `uuid`, with or without the prefix 'GPU-'.

    Return `None` if NVIDIA's library does not know it or is not installed, which is logged.
    """
    if not uuid:
        return None
    try:
        import pynvml  # noqa: PLC0415  # the driver library is loaded only if a GPU trains
    except ImportError:
        _LOG.warning("the load of the GPU is not recorded: pip install 'training-cockpit[gpu]'")
        return None
    try:
        pynvml.nvmlInit()
        return NvmlGpu(pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid if "-" in uuid[:4] else f"GPU-{uuid}"))
    except pynvml.NVMLError:
        return None
