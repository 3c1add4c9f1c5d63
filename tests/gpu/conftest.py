"""The device of the GPU suite, and runs on it.

`pytest -m gpu` proves the CUDA path on a machine with a GPU. Elsewhere its tests are skipped, unless the variable
`GPU_SUITE_DEVICE=cpu` makes those run on the CPU that do not need CUDA: it shows that the tests themselves work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.tasks.person.config import PersonConfig
from engine.training.device import chosen_kernels
from tests.adapters.conftest import strict  # noqa: F401 - here too, a fault of the adapters fails a test

Trained = Callable[..., int]
COMPILING = pytest.mark.filterwarnings("ignore")
"""Mark of tests that compile a network: the compiler warns of its own work, with each version of other things."""


@pytest.fixture
def device() -> torch.device:
    """Return the device under test; skip where there is none."""
    chosen = torch.device(os.environ.get("GPU_SUITE_DEVICE", "cuda"))
    if chosen.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("this machine has no CUDA device")
    return chosen


@pytest.fixture
def cuda(device: torch.device) -> torch.device:
    """Return the device under test; skip unless it is a CUDA device."""
    if device.type != "cuda":
        pytest.skip("only a CUDA device can show this")
    return device


@pytest.fixture
def trained(device: torch.device) -> Trained:
    """Return a function that trains in a directory on the device under test and returns the exit code."""

    def run(directory: Path, config: PersonConfig, **more: object) -> int:
        directory.mkdir(exist_ok=True)
        return train(RunRequest(directory, config, device=device.type, **more), Interrupt())  # type: ignore[arg-type]

    return run


@pytest.fixture
def deterministic() -> Iterator[None]:
    """Choose deterministic kernels: those for upsampling add in any order by default."""
    with chosen_kernels(deterministic=True):
        yield
