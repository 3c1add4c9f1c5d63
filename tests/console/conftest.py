"""What the console's tests share: a scripted run and a clock of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.console.scripted import FakeClock, ScriptedRun


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[ScriptedRun]:
    """A run called `calm` without a recorded state."""
    run = ScriptedRun(tmp_path / "runs" / "calm")
    yield run
    run.close()
