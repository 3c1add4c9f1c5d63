"""A run directory from before tasks existed is still readable, and resumes bit for bit."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from engine.journal.reader import JournalReader
from engine.protocol import events as e
from engine.tasks.person.spec import SPEC

ROOT = Path(__file__).parents[2]
EARLIER = ROOT / "tests" / "earlier"
"""Six steps of the smallest network, with a learning rate, a refinement and a note set by a script; `rows.json` is what
the program of that time went on to record until step 10."""

NOW_WITHOUT_ABSENT_CLASSES = ("val/miou", "val/iou_other")
"""The earlier program counted a class that occurs nowhere as 0; here class `other` does not occur."""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return shutil.copytree(EARLIER, tmp_path / "runs" / "before")


def test_its_journal_is_read_with_the_names_of_today(run_dir: Path) -> None:
    with closing(JournalReader(run_dir)) as reader:
        state, events = reader.state(), [entry.event for entry in reader.events()]
    assert state is not None and state.spec == SPEC
    assert (state.step, state.phase, state.score) == (6, 2, state.best_score)
    (validation,) = (event for event in events if isinstance(event, e.ValidationCompleted))
    assert set(validation.metrics) == {metric.name for metric in SPEC.metrics} - {"miou_seed", "target_iou"}
    assert validation.metrics["miou"] == pytest.approx(0.2269, abs=1e-4) == state.score
    saved = [event.score for event in events if isinstance(event, e.CheckpointSaved)]
    assert saved[-1] == state.score


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the rows were computed with x86-64's AVX2")
def test_it_goes_on_to_the_same_bits(run_dir: Path) -> None:
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    words = ["--no-ui", "--quiet", "--resume", str(run_dir), "--max-steps", "10"]
    command = [sys.executable, "main.py", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((EARLIER / "rows.json").read_text())
    names = [name for name in rows if name not in ("step", *NOW_WITHOUT_ABSENT_CLASSES)]
    with closing(JournalReader(run_dir)) as reader:
        series = reader.series(names)
    assert series.steps.tolist() == rows["step"]
    for name in names:
        recorded = [value for value in rows[name] if value is not None]
        assert series.values[name][series.present[name]].tolist() == np.float32(recorded).tolist(), name
