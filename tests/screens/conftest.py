"""Tests that press keys as coroutines, in a home of their own in which the hints were seen."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that says hints were seen."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    seen = tmp_path / "state" / "training-cockpit" / "hints-seen"
    seen.parent.mkdir(parents=True)
    seen.touch()
    return seen
