"""The machine's load is sampled during training, and unavailable values are left out."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

import psutil
import pynvml
import pytest

from engine.outputs.system_load import NvmlGpu, SystemLoad, find_gpu


def wait_for(said: Callable[[], object]) -> None:
    until = time.monotonic() + 10
    while not said():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_processor_and_memory_are_sampled_while_watched() -> None:
    load = SystemLoad()
    assert dict(load.newest) == {}
    with load.watched():
        wait_for(lambda: load.newest)
    sample = load.newest
    assert set(sample) == {"system/cpu", "system/cpu_others", "system/memory"}
    assert 0 <= sample["system/cpu_others"] <= 100
    assert 0 <= sample["system/cpu"] <= 100
    assert 10 < sample["system/memory"] < 100_000


def test_a_machine_that_hides_its_processes_gives_no_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def hidden(self: psutil.Process) -> object:
        asked.append(1.0)
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "memory_info", hidden)
    load = SystemLoad()
    with load.watched():
        wait_for(lambda: asked)
    assert dict(load.newest) == {}


@pytest.mark.parametrize("call", ["Process", "cpu_percent"])
def test_a_machine_that_hides_all_of_its_numbers_does_not_end_the_thread(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """An error of a thread would be printed on the screen."""
    asked: list[float] = []

    def hidden(*_: object) -> object:
        asked.append(1.0)
        raise PermissionError

    monkeypatch.setattr(psutil, call, hidden)
    load = SystemLoad()
    with load.watched():
        wait_for(lambda: len(asked) > 2)
    assert dict(load.newest) == {}


class FakeNvml:
    """NVIDIA's library for one card; `broken` names the calls that fail."""

    class NVMLError(Exception):
        """What the library raises."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken

    def nvmlDeviceGetMemoryInfo(self, handle: object) -> object:
        if "memory" in self.broken:
            raise self.NVMLError
        return SimpleNamespace(used=3 * 2**30)

    def nvmlDeviceGetUtilizationRates(self, handle: object) -> object:
        if "load" in self.broken:
            raise self.NVMLError
        return SimpleNamespace(gpu=87)


def test_a_gpu_tells_its_load_and_memory() -> None:
    assert NvmlGpu(FakeNvml(), object()).read() == {"system/gpu": 87.0, "system/gpu_memory": 3072.0}


def test_a_gpu_that_does_not_tell_its_load_still_tells_its_memory() -> None:
    assert NvmlGpu(FakeNvml("load"), object()).read() == {"system/gpu_memory": 3072.0}
    assert NvmlGpu(FakeNvml("load", "memory"), object()).read() == {}


def test_without_a_gpu_nvidias_library_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(pynvml, "nvmlInit", fail)
    assert find_gpu("") is None


def test_a_machine_without_nvidias_library_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise pynvml.NVMLError_LibraryNotFound

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
    assert find_gpu("GPU-1234") is None


@pytest.mark.parametrize("uuid", ["1234-5678", "GPU-1234-5678", "MIG-1234-5678"])
def test_a_gpu_is_found_by_the_name_that_cuda_gives_it(monkeypatch: pytest.MonkeyPatch, uuid: str) -> None:
    asked: list[str] = []
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda name: asked.append(name) or "handle")
    assert isinstance(find_gpu(uuid), NvmlGpu)
    assert asked == [uuid if uuid.startswith(("GPU", "MIG")) else f"GPU-{uuid}"]


def test_without_nvidias_library_one_sentence_in_the_log_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert find_gpu("GPU-1234") is None
    assert caplog.messages == ["the load of the GPU is not recorded: pip install 'training-cockpit[gpu]'"]
