"""A refactor keeps the loss curve bit for bit. A change of the mathematics makes a new one, knowingly:

ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python -m tests.golden_run "$(mktemp -d)" > tests/golden.json
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the golden losses were computed with x86-64's AVX2")
def test_the_losses_of_a_seeded_run_are_those_recorded_bit_for_bit(tmp_path: Path) -> None:
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.golden_run", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    golden = json.loads((ROOT / "tests" / "golden.json").read_text())
    losses = json.loads(done.stdout)
    assert len(losses) == len(golden) == 16
    assert losses == golden, "the first difference is at step " + str(
        1 + next(i for i, pair in enumerate(zip(losses, golden, strict=True)) if pair[0] != pair[1])
    )
