"""Threads and kernels of a run are chosen for as long as it computes."""

from __future__ import annotations

import os

import pytest
import torch

from engine.config.tree import TrainingConfig
from engine.training.device import computing


def _chosen() -> tuple[object, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.get_num_threads(),
    )


def test_deterministic_kernels_are_chosen_in_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = _chosen()
    with pytest.raises(ValueError, match="over"), computing(TrainingConfig(deterministic=True, threads=1)):
        assert _chosen() == (True, True, False, 1)
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        raise ValueError("over")
    assert _chosen() == before


def test_nothing_is_changed_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    before = _chosen()
    with computing(TrainingConfig()):
        assert _chosen() == before
        assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
