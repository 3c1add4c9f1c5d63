"""A refactor keeps the loss curve bit for bit. A change of the mathematics makes a new one, knowingly, for all records:

MKL_CBWR=COMPATIBLE ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 \
    python -m tests.golden_run "$(mktemp -d)" > tests/golden_compatible.json
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.same_bits import RECORDS, environment, on_x86_64

ROOT = Path(__file__).parent.parent


@on_x86_64
def test_the_losses_of_a_seeded_run_are_those_recorded_bit_for_bit(tmp_path: Path) -> None:
    differences: list[str] = []
    for record in RECORDS:
        losses = losses_of_a_run(tmp_path / f"run{record}", record)
        golden = json.loads((ROOT / "tests" / f"golden{record}.json").read_text())
        assert len(losses) == len(golden) == 16
        if losses == golden:
            return
        first = next(i for i, pair in enumerate(zip(losses, golden, strict=True), 1) if pair[0] != pair[1])
        differences.append(f"golden{record}.json: the first difference is at step {first}")
    raise AssertionError("; ".join(differences))


def losses_of_a_run(directory: Path, record: str) -> list[str]:
    """Return what `tests.golden_run` prints in the environment of the record."""
    directory.mkdir()
    command = [sys.executable, "-m", "tests.golden_run", str(directory)]
    done = subprocess.run(command, cwd=ROOT, env=environment(record), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
