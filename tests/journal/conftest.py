"""A run directory and a writer that is closed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.journal.writer import JournalWriter
from tests.recorded import writing


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Return the directory of a run."""
    return tmp_path / "a-run"


@pytest.fixture
def writer(run_dir: Path) -> Iterator[JournalWriter]:
    """A started writer on `run_dir`."""
    with writing(run_dir) as started:
        yield started
