"""A fault of the adapters fails a test instead of being survived."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.adapters.run import settings


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Raise faults of the cockpit, and read no run from the environment."""
    monkeypatch.setenv("TRAINING_COCKPIT_RAISE", "1")
    monkeypatch.delenv(settings.RUN_DIRECTORY, raising=False)
    yield
