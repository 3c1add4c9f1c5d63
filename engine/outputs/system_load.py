"""Load of the machine: processor, memory of this process, and the training GPU, without torch."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Generator, Mapping
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

        `system/cpu_others` is the share in % of this process's processors that other processes use, data workers too.
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
        gpu, machine = find_gpu(self._gpu_uuid), _Machine()
        machine.read()
        seconds = _SECONDS_TO_FIRST
        while not self._closing.wait(seconds):
            self._newest = MappingProxyType({**machine.read(), **(gpu.read() if gpu else {})})
            seconds = _SECONDS_BETWEEN_SAMPLES


def usable_cores() -> int:
    """Return the number of processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on macOS
        return os.cpu_count() or 1


class OthersMeter:
    """Measures between two calls how many of the usable processors other processes keep busy."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._before: tuple[float, float, float] | None = None

    def read(self) -> float | None:
        """Return the processors busy with other processes since the last call; `None` at the first.

        Raises psutil's errors.
        """
        own = self._process.cpu_times()
        now = time.monotonic(), _busy_seconds(), own.user + own.system
        before, self._before = self._before, now
        if before is None:
            return None
        seconds, busy, mine = (new - old for new, old in zip(now, before, strict=True))
        return min(max((busy - mine) / max(seconds, 1e-3), 0.0), float(usable_cores()))


def _busy_seconds() -> float:
    usable: Collection[int] = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    return sum(
        sum(times) - times.idle - getattr(times, "iowait", 0.0) - _double(times)
        for number, times in enumerate(psutil.cpu_times(percpu=True))
        if number in usable or not usable
    )


def _double(times: Any) -> float:  # psutil's classes differ by system
    """Return the seconds of guests, which Linux counts as a user's too."""
    return float(getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0))


class _Machine:
    """The processor and this process's memory, between two calls of `read`."""

    def __init__(self) -> None:
        self._known: tuple[psutil.Process, OthersMeter] | None = None

    def read(self) -> Mapping[str, float]:
        """Return the numbers; none on a system that hides /proc from its processes."""
        try:
            if self._known is None:
                process = psutil.Process()
                self._known = process, OthersMeter(process)
            process, meter = self._known
            others, cpu = meter.read(), psutil.cpu_percent(None)
            known = {} if others is None else {"system/cpu_others": 100.0 * others / usable_cores()}
            return {"system/cpu": cpu, **known, "system/memory": process.memory_info().rss / _MIB}
        except (psutil.Error, OSError):
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
