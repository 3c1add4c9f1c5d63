"""A recorded run, a session on it with its own clock, and tests that press keys as coroutines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cockpit.session.session import Session
from tests.console.scripted import FakeClock
from tests.recorded_run import RecordedRun


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RecordedRun]:
    """A run that has begun and taken no step; its writer is alive."""
    run = RecordedRun(tmp_path / "runs" / "calm")
    yield run
    run.close()


@pytest.fixture
def told(run: RecordedRun) -> RecordedRun:
    """The same run at step 400, after every kind of event."""
    run.tell(400)
    return run


@pytest.fixture
def open_session(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Session]]:
    """Opens a session on the run, which need not exist."""
    opened: list[Session] = []

    def open_one(*, can_steer: bool = True) -> Session:
        opened.append(Session(tmp_path / "runs" / "calm", clock=clock, can_steer=can_steer))
        opened[-1].poll()
        return opened[-1]

    yield open_one
    for session in opened:
        session.close()
