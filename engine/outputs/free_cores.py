"""Choose the number of threads for `training.threads: auto`, from the load of the machine at the start of a run."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import psutil

from engine.outputs.system_load import OthersMeter, usable_cores
from engine.protocol.record import record

_SECONDS: Final = 0.5
"""Seconds in which the load is measured."""
_TOLERATED: Final = 0.25
"""Processors that others may use without one being left to them."""
_QUOTA: Final = "/sys/fs/cgroup/cpu.max"


@record
class Threads:
    """A chosen number of threads, and the reason in words."""

    count: int
    why: str


def choose_threads(seconds: float = _SECONDS) -> Threads:
    """Measure the load for so many seconds and return the number of threads that leaves others what they use."""
    try:
        meter = OthersMeter(psutil.Process())
        meter.read()
        time.sleep(seconds)
        others = meter.read() or 0.0
    except (psutil.Error, OSError):  # a system that hides /proc from its processes
        others = 0.0
    return threads_for(available_cores(), others, openmp_limit(os.environ))


def threads_for(cores: int, others: float, limit: int | None = None) -> Threads:
    """Return the threads on `cores` processors of which others use `others`; at least 1, at most `limit`."""
    free = max(1, cores - math.ceil(max(others - _TOLERATED, 0.0)))
    why = f"other processes use {others:.1f} of {cores} processor{'' if cores == 1 else 's'}"
    if limit is not None and limit < free:
        return Threads(limit, f"{why}, and OMP_NUM_THREADS is {limit}")
    return Threads(free, why)


def openmp_limit(environment: Mapping[str, str]) -> int | None:
    """Return the threads that OpenMP may have by its variable in the environment, at least 1; `None` without one.

    torchrun sets it to 1 for each of several processes.
    """
    asked = environment.get("OMP_NUM_THREADS", "")
    return max(1, int(asked)) if asked.isdecimal() else None


def available_cores(quota: str = _QUOTA) -> int:
    """Return the real processors within the affinity and the container."""
    limits = [usable_cores(), psutil.cpu_count(logical=False) or usable_cores()]
    with suppress(OSError, ValueError):
        with open(quota, encoding="ascii") as file:
            most, period = file.read().split()
        limits.append(max(1, math.ceil(int(most) / int(period))))
    return min(limits)
