"""The view that the panel draws: figures of a session that keeps recent steps only."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from cockpit.console.reporting.run_view import RunView, view_of
from cockpit.session.run_summary import Best
from cockpit.session.session import Session
from engine.journal.reader import JournalReader
from engine.protocol import events as e
from engine.protocol.events import Activity
from tests.console.scripted import CHANCE, FakeClock, ScriptedRun


@pytest.fixture
def session(run: ScriptedRun, clock: FakeClock) -> Iterator[Session]:
    session = Session(run.directory, clock=clock, can_steer=False, recent_only=True)
    yield session
    session.close()


def look(session: Session) -> RunView:
    session.poll()
    assert session.state is not None
    return view_of(session, session.state)


def test_terms_of_the_newest_step_stand_beside_their_chance_levels(run: ScriptedRun, session: Session) -> None:
    run.begin()
    run.train(1, terms={"cross_entropy": 1.0, "dice": 0.5})
    look(session)
    run.train(2, terms={"cross_entropy": math.nan, "auxiliary": 0.25})
    view = look(session)

    assert math.isnan(view.terms["cross_entropy"])
    assert {term: value for term, value in view.terms.items() if term != "cross_entropy"} == {"auxiliary": 0.25}
    assert view.chance == CHANCE


def test_speed_and_time_left_come_from_the_steps(run: ScriptedRun, session: Session, clock: FakeClock) -> None:
    run.begin()
    for step in (0, 10, 20):
        if step:
            run.train(step)
        look(session)
        clock.advance(5.0)
    view = look(session)

    assert view.steps_per_second == pytest.approx(2.0)
    assert view.remaining == pytest.approx(980 / 2.0 - 5.0)
    with closing(JournalReader(run.directory)) as reader:
        writer = reader.heartbeat()
    assert writer is not None
    assert 15.0 <= view.elapsed <= 15.0 + time.time() - writer.started, "since the writer began"


def test_the_pulse_says_what_a_run_waits_for(run: ScriptedRun, session: Session, clock: FakeClock) -> None:
    def pulse(seconds: float) -> str:
        look(session)
        clock.advance(seconds)
        return look(session).pulse

    run.observe()
    assert pulse(7) == "starting: opening the data and building the network, 7 s"
    run.begin()
    assert pulse(12) == "waiting for the first step, 12 s"
    for step in range(1, 4):
        run.train(step)
        assert pulse(1) == "running"
    assert pulse(40) == "step 4 is under way, 41 s"
    partial = run.directory / "checkpoints" / "step-00000003.partial"
    partial.parent.mkdir()
    partial.touch()
    assert pulse(1) == "writing a checkpoint, 42 s"
    run.turn_to(Activity.VALIDATING)
    assert pulse(65) == "validating, 1 min 05 s"
    run.note(e.Paused("validating"))
    assert pulse(3) == "paused, 3 s"
    run.note(e.StepsGranted(0, 5))
    assert pulse(0) == "running 5 more steps, then pause"
    run.note(e.StopRequested("enough", "running"))
    assert pulse(2) == "stopping: the last checkpoint is written, 2 s"
    run.note(e.RunFinished("stopped", 60.0))
    assert pulse(2) == "finished"


def test_a_pause_does_not_slow_the_pace_down(run: ScriptedRun, session: Session, clock: FakeClock) -> None:
    run.begin()
    for activity, step, seconds in (
        (Activity.RUNNING, 10, 1.0),
        (Activity.RUNNING, 20, 1.0),
        (Activity.PAUSED, 20, 1000.0),
        (Activity.RUNNING, 21, 1.0),
        (Activity.RUNNING, 31, 0.0),
    ):
        run.train(step)
        run.observe(activity=activity)
        look(session)
        clock.advance(seconds)

    assert look(session).steps_per_second == pytest.approx(10.0)


def test_the_best_validation_is_the_one_of_best_pt_also_if_a_rollback_undid_its_step(
    run: ScriptedRun, session: Session
) -> None:
    run.begin()
    for step, miou in ((100, 0.3), (200, 0.5), (300, 0.9), (400, math.nan)):
        run.train(step)
        run.validate(miou)
    assert look(session).best == Best(pytest.approx(0.9), 300)

    run.journal.open_branch(200)
    run.note(e.RolledBack("step-00000200.pt", 400, 200))
    assert look(session).best == Best(pytest.approx(0.9), 300)


def test_the_last_alert_stays(run: ScriptedRun, session: Session) -> None:
    run.begin()
    assert look(session).alert is None
    run.note(e.AlertRaised("spike", "the loss jumped"))
    look(session)
    run.note(e.NoteAdded("fine"))
    alert = look(session).alert

    assert alert is not None and alert.entries[-1].event == e.AlertRaised("spike", "the loss jumped")
    assert look(session).alerts == 1
