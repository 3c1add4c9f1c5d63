"""The load of the GPU that trains is read, and the device is named."""

from __future__ import annotations

import time

import pytest
import torch

from engine.outputs.system_load import SystemLoad
from engine.training.device import describe, gpu_uuid

pytestmark = pytest.mark.gpu


def test_load_and_memory_of_the_training_gpu_are_sampled(cuda: torch.device) -> None:
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    held = torch.ones(64 * 2**20, device=cuda)
    load = SystemLoad(gpu_uuid(cuda))
    with load.watched():
        until = time.monotonic() + 10
        while "system/gpu_memory" not in load.newest and time.monotonic() < until:
            time.sleep(0.01)
    assert 0 <= load.newest["system/gpu"] <= 100
    assert load.newest["system/gpu_memory"] >= held.numel() * 4 / 2**20


def test_the_device_is_called_by_its_name(cuda: torch.device) -> None:
    assert describe(cuda) == f"cuda ({torch.cuda.get_device_name(cuda)})"
