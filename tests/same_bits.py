"""Environments in which a program computes the same bits on different x86-64 processors.

The instructions that torch and oneDNN use are chosen by name. MKL chooses by the maker of the processor and its newest
instructions, also for `exp` and `log`; with `MKL_CBWR=COMPATIBLE` it computes the same everywhere.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Final

import pytest

_AVX2: Final = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
RECORDS: Final[Mapping[str, Mapping[str, str]]] = {"_compatible": {**_AVX2, "MKL_CBWR": "COMPATIBLE"}, "": _AVX2}
"""The variables with which numbers were recorded, by the end of the name of their file.

Those without MKL's choice were recorded earlier, on one kind of processor. A program that computes either record is
unchanged.
"""
on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers were computed with x86-64's AVX2")


def environment(record: str) -> dict[str, str]:
    """Return the environment of this process with the variables of the record whose file has this end."""
    return {**os.environ, **RECORDS[record]}
