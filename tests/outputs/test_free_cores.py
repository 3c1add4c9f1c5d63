"""The number of threads that `training.threads: auto` chooses."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from engine.outputs.free_cores import available_cores, choose_threads, openmp_limit, threads_for
from engine.outputs.system_load import usable_cores


@pytest.mark.parametrize(
    ("cores", "others", "count"),
    [(2, 0.0, 2), (2, 0.2, 2), (2, 1.0, 1), (2, 2.0, 1), (8, 1.0, 7), (8, 2.5, 5), (8, 8.0, 1), (1, 0.0, 1)],
)
def test_processors_that_others_use_are_left_to_them(cores: int, others: float, count: int) -> None:
    chosen = threads_for(cores, others)
    assert chosen.count == count
    assert chosen.why == f"other processes use {others:.1f} of {cores} processor{'' if cores == 1 else 's'}"


@pytest.mark.parametrize(
    ("limit", "others", "count", "end"),
    [(1, 2.0, 1, "8 processors, and OMP_NUM_THREADS is 1"), (4, 2.0, 4, "is 4"), (8, 2.0, 6, "of 8 processors")],
)
def test_openmp_limits_the_threads_and_not_the_processors(limit: int, others: float, count: int, end: str) -> None:
    chosen = threads_for(8, others, limit)
    assert chosen.count == count and chosen.why.endswith(end)


def test_the_limit_of_openmp_is_a_number() -> None:
    found = [openmp_limit({"OMP_NUM_THREADS": text}) for text in ("3", "0", "no", "")]
    assert found == [3, 1, None, None] and openmp_limit({}) is None


def test_a_container_limits_the_processors(tmp_path: Path) -> None:
    none, quota = str(tmp_path / "none"), tmp_path / "cpu.max"
    free = available_cores(none)
    assert 1 <= free <= usable_cores()
    quota.write_text("100000 100000\n")
    assert available_cores(str(quota)) == 1
    quota.write_text("max 100000\n")
    assert available_cores(str(quota)) == free


def test_the_load_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= choose_threads(0.05).count <= usable_cores()

    def hidden(*_: object, **__: object) -> object:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "cpu_times", hidden)
    assert "other processes use 0.0 of" in choose_threads(0.0).why
