"""Load of the machine beside the metrics: processor, this process's memory, and the GPU that trains; free of torch."""

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
"""The processor's load is measured between two looks: the first sample follows the start by so much."""
_MIB: Final = 2**20
_NOTHING: Final[Mapping[str, float]] = MappingProxyType({})


class Gpu(Protocol):
    """What a GPU says of itself."""

    def read(self) -> Mapping[str, float]:
        """`system/gpu` in % and `system/gpu_memory` in MiB; what it does not tell is left out."""
        ...


class SystemLoad:
    """Samples the machine in a thread of its own, about once a second, and never raises: what fails is left out.

    `gpu_uuid` names the GPU as CUDA does, '' where none trains.
    """

    def __init__(self, gpu_uuid: str = "") -> None:
        self._gpu_uuid = gpu_uuid
        self._newest: Mapping[str, float] = _NOTHING
        self._closing = Signal()

    @property
    def newest(self) -> Mapping[str, float]:
        """The newest sample: `system/cpu` (% of the machine), `system/memory` (MiB resident) and the GPU's two.

        Empty before the first sample. Reading it costs nothing: the thread puts a whole new mapping in its place.
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
        """Load in % and memory used in MiB, by every process on it."""
        sample: dict[str, float] = {}
        try:
            sample["system/gpu_memory"] = self._nvml.nvmlDeviceGetMemoryInfo(self._handle).used / _MIB
            sample["system/gpu"] = float(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu)
        except self._nvml.NVMLError:
            return sample
        return sample


def find_gpu(uuid: str) -> Gpu | None:
    """The GPU that CUDA calls `uuid`, with or without 'GPU-' before it; None where NVIDIA's library knows
    none or is not installed, which is logged."""
    if not uuid:
        return None
    try:
        import pynvml  # noqa: PLC0415  # its driver library is looked for only where a GPU trains
    except ImportError:
        _LOG.warning("the load of the GPU is not recorded: pip install 'training-cockpit[gpu]'")
        return None
    try:
        pynvml.nvmlInit()
        return NvmlGpu(pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid if "-" in uuid[:4] else f"GPU-{uuid}"))
    except pynvml.NVMLError:
        return None
