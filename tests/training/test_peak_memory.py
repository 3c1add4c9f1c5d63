"""The peak of a device's memory in each step."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from cockpit.charts.chart_specs import charts_for
from engine.protocol.task_spec import NO_SPEC
from engine.training.device import PeakMemory


def test_a_processor_has_no_peak() -> None:
    assert PeakMemory(torch.device("cpu")).take() == {}


def test_each_step_has_its_own_peak_and_the_chart_has_it_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    peak = [3 * 2**20]
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=80 * 2**20))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: peak[0])
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: peak.__setitem__(0, 2**20))
    memory = PeakMemory(torch.device("cuda", 0))
    first = memory.take()
    assert first == {"system/gpu_memory_peak": 3.0, "system/gpu_memory_limit": 80.0}
    assert memory.take()["system/gpu_memory_peak"] == 1.0
    chart = next(spec for spec in charts_for(NO_SPEC) if spec.id == "memory")
    assert chart.present(["loss/total", *first]) == tuple(first)
