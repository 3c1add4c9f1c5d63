"""A fault of the adapters fails a test instead of being survived."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Raise faults of the cockpit."""
    monkeypatch.setenv("TRAINING_COCKPIT_RAISE", "1")
    yield


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Return a directory of runs, which does not exist yet."""
    return tmp_path / "runs"
