"""A run that answers, a screen with nothing on it but the steering, and a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cockpit.session.session import Session
from engine.protocol.state import GateCheck, Knob, Limits
from tests.console.scripted import FakeClock
from tests.decisions import Decisions
from tests.dialogs.screen import SteeredScreen
from tests.recorded_run import RecordedRun

GREEN = (GateCheck("steps in phase", "220", ">= 200", True), GateCheck("gradient norm", "0.84", "<= 10", True))
KNOBS = {"tau": Knob(0.7, 0.1, 2.0), "mixup": Knob(False), "mode": Knob("soft", choices=("soft", "hard", "off"))}
RED = (GREEN[0], GateCheck("non-finite steps", "2", "0", False))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> Decisions:
    """Every call of `decide` by the cockpit during the test."""
    return Decisions(monkeypatch)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RecordedRun]:
    """A run in phase 1 at step 60 with two checkpoints, the older one good, and an open gate."""
    run = RecordedRun(tmp_path / "runs" / "calm", lr=3e-3, gate=GREEN, limits=Limits(lr_configured=3e-3), knobs=KNOBS)
    with run.at_once():
        run.begin()
        run.train(40)
        run.validate()
        run.save(good=True)
        run.train(50)
        run.save(good=False)
        run.train(60)
    yield run
    run.close()


@pytest.fixture
def open_screen(run: RecordedRun, clock: FakeClock) -> Iterator[Callable[..., SteeredScreen]]:
    """Opens the screen on the run as it stands."""
    opened: list[Session] = []

    def open_one(*, can_steer: bool = True) -> SteeredScreen:
        session = Session(run.directory, clock=clock, can_steer=can_steer)
        opened.append(session)
        session.poll()
        return SteeredScreen(session, run, clock)

    yield open_one
    for session in opened:
        session.close()
