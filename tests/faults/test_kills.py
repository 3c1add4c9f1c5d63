"""SIGKILL at random moments, including during a checkpoint: the run ends like an undisturbed one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faulty import entries, same_weights, series
from tests.forked import CapturedProcess, Forked


@pytest.mark.timeout(240)
@pytest.mark.parametrize("times", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_a_run_killed_many_times_ends_with_the_bits_of_one_that_was_not(tmp_path: Path, times: int) -> None:
    program = Forked((str(tmp_path), str(times), "7"), "tests.faults.killed_runs")
    done = CapturedProcess(program, ROOT, {**os.environ, "OMP_NUM_THREADS": "1"})
    out, err = done.communicate(230)
    assert done.returncode == 0, err
    said = json.loads(out.splitlines()[-1])
    assert said["codes"] == [0, 0], err
    assert said["in_a_checkpoint"] >= 1
    assert same_weights(tmp_path / "killed", tmp_path / "whole")
    for name in ("loss/total", "grad_norm/total", "lr"):
        assert series(tmp_path / "killed", name) == series(tmp_path / "whole", name)
    assert len(series(tmp_path / "whole", "lr")) == said["steps"]
    numbers = [entry.id for entry in entries(tmp_path / "killed")]
    assert numbers == sorted(numbers)
