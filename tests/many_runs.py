"""Directories with any number of runs, made in seconds: copies of a few small recorded runs under other names."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from engine.journal.disk.run_dir import LOCK_FILE
from engine.journal.store import JOURNAL_FILE
from tests.recorded_run import EPOCH_SECONDS, record_run

_STEPS: Final = (40, 120, 400)
"""Lengths of the recorded runs; the last one has a divergence."""
_SECONDS_BETWEEN: Final = 3_600.0


def make_runs(runs_dir: Path, count: int) -> list[Path]:
    """Make `count` finished runs in `runs_dir`, an hour apart, and return their directories, the oldest first."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    originals = [record_run(runs_dir.parent / f"original-{steps}", steps=steps, finished=True) for steps in _STEPS]
    made: list[Path] = []
    for number in range(count):
        directory = runs_dir / f"tiny-{number:04d}"
        directory.mkdir(mode=0o700)
        shutil.copyfile(originals[number % len(originals)] / JOURNAL_FILE, directory / JOURNAL_FILE)
        (directory / LOCK_FILE).write_text("1\n", encoding="ascii")
        started = EPOCH_SECONDS + number * _SECONDS_BETWEEN
        os.utime(directory / LOCK_FILE, (started, started))
        made.append(directory)
    for original in originals:
        shutil.rmtree(original)
    return made
