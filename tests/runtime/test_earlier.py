"""A run directory from before tasks existed is still readable, and resumes bit for bit."""

from __future__ import annotations

import json
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
from tests.same_bits import RECORDS, environment, on_x86_64

ROOT = Path(__file__).parents[2]
EARLIER = ROOT / "tests" / "earlier"
"""Six steps of the smallest network, with a learning rate, a refinement and a note set by a script; `rows.json` is what
the program of that time went on to record until step 10, and `rows_compatible.json` the same with another MKL."""

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


@on_x86_64
def test_it_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    differences: list[str] = []
    for record in RECORDS:
        difference = first_difference(tmp_path / f"runs{record}" / "before", record)
        if not difference:
            return
        differences.append(difference)
    raise AssertionError("; ".join(differences))


def first_difference(run_dir: Path, record: str) -> str:
    """Resume the run and return the first column that differs from the record, or nothing."""
    shutil.copytree(EARLIER, run_dir)
    words = ["--no-ui", "--quiet", "--resume", str(run_dir), "--max-steps", "10"]
    command = [sys.executable, "main.py", *words]
    done = subprocess.run(command, cwd=ROOT, env=environment(record), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((EARLIER / f"rows{record}.json").read_text())
    names = [name for name in rows if name not in ("step", *NOW_WITHOUT_ABSENT_CLASSES)]
    with closing(JournalReader(run_dir)) as reader:
        series = reader.series(names)
    assert series.steps.tolist() == rows["step"]
    for name in names:
        found = series.values[name][series.present[name]].tolist()
        recorded = np.array([value for value in rows[name] if value is not None], np.float32).tolist()
        if found != recorded:
            return f"rows{record}.json, {name}: {found} instead of {recorded}"
    return ""
