"""A run that others write, and sessions that watch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cockpit.session.session import Session
from tests.console.scripted import FakeClock
from tests.decisions import Decisions
from tests.recorded_run import RecordedRun


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> Decisions:
    """Every call of `decide` by the cockpit during the test."""
    return Decisions(monkeypatch)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RecordedRun]:
    """A living run without a recorded state."""
    run = RecordedRun(tmp_path / "calm")
    yield run
    run.close()


@pytest.fixture
def watch(clock: FakeClock) -> Iterator[Callable[..., Session]]:
    """Opens sessions on a directory; all are closed at the end."""
    opened: list[Session] = []

    def open_session(directory: Path, **options: bool) -> Session:
        opened.append(Session(directory, clock=clock, **options))
        return opened[-1]

    yield open_session
    for session in opened:
        session.close()
