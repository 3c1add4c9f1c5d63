"""SIGKILL at random moments, including during a checkpoint: the run ends like an undisturbed one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.faulty import entries, same_weights, series


@pytest.mark.timeout(240)
@pytest.mark.parametrize("times", [10, pytest.param(30, marks=pytest.mark.slow)])
def test_a_run_killed_many_times_ends_with_the_bits_of_one_that_was_not(tmp_path: Path, times: int) -> None:
    command = [sys.executable, "-m", "tests.faults.killed_runs", str(tmp_path), str(times), "7"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=230, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["codes"] == [0, 0], done.stderr
    assert said["in_a_checkpoint"] >= 1
    assert same_weights(tmp_path / "killed", tmp_path / "whole")
    for name in ("loss/total", "grad_norm/total", "lr"):
        assert series(tmp_path / "killed", name) == series(tmp_path / "whole", name)
    assert len(series(tmp_path / "whole", "lr")) == said["steps"]
    numbers = [entry.id for entry in entries(tmp_path / "killed")]
    assert numbers == sorted(numbers)
