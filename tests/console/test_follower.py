"""Following a journal: what is new, how the run stands, and what it is at when nothing moves."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest

from cockpit.console.follower import Best, Follower, FollowerUpdate
from engine.protocol import events as e
from engine.protocol.events import Activity
from tests.console.scripted import CHANCE, STARTED, FakeClock, ScriptedRun


@pytest.fixture
def follower(run: ScriptedRun, clock: FakeClock) -> Iterator[Follower]:
    follower = Follower(run.directory, clock=clock)
    yield follower
    follower.close()


def look(follower: Follower) -> FollowerUpdate:
    update = follower.look()
    assert update is not None
    return update


def test_a_run_that_has_said_nothing_has_no_news(follower: Follower) -> None:
    assert follower.look() is None


def test_every_event_is_brought_once(run: ScriptedRun, follower: Follower) -> None:
    run.begin()
    assert STARTED in [entry.event for entry in look(follower).entries]
    assert look(follower).entries == ()
    run.note(e.NoteAdded("one"))
    run.note(e.NoteAdded("two"))

    assert [entry.event for entry in look(follower).entries] == [e.NoteAdded("one"), e.NoteAdded("two")]


def test_terms_of_the_newest_step_stand_beside_their_chance_levels(run: ScriptedRun, follower: Follower) -> None:
    run.begin()
    run.train(1, terms={"cross_entropy": 1.0, "dice": 0.5})
    look(follower)
    run.train(2, terms={"cross_entropy": math.nan, "auxiliary": 0.25})
    view = look(follower).view

    assert math.isnan(view.terms["cross_entropy"])
    assert {term: value for term, value in view.terms.items() if term != "cross_entropy"} == {"auxiliary": 0.25}
    assert view.chance == CHANCE


def test_speed_and_time_left_come_from_the_steps(run: ScriptedRun, follower: Follower, clock: FakeClock) -> None:
    run.begin()
    for step in (0, 10, 20):
        if step:
            run.train(step)
        look(follower)
        clock.advance(5.0)
    view = look(follower).view

    assert view.steps_per_second == pytest.approx(2.0)
    assert view.remaining == pytest.approx(980 / 2.0 - 5.0)
    assert view.elapsed == pytest.approx(15.0)


def test_the_pulse_says_what_a_run_waits_for(run: ScriptedRun, follower: Follower, clock: FakeClock) -> None:
    def pulse(seconds: float) -> str:
        look(follower)
        clock.advance(seconds)
        return look(follower).view.pulse

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


def test_a_pause_does_not_slow_the_pace_down(run: ScriptedRun, follower: Follower, clock: FakeClock) -> None:
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
        look(follower)
        clock.advance(seconds)

    assert look(follower).view.steps_per_second == pytest.approx(10.0)


def test_the_best_validation_is_the_one_of_the_lineage_that_counts(run: ScriptedRun, follower: Follower) -> None:
    run.begin()
    for step, miou in ((100, 0.3), (200, 0.5), (300, 0.9), (400, math.nan)):
        run.train(step)
        run.validate(miou)
    assert look(follower).view.best == Best(pytest.approx(0.9), 300)

    run.journal.open_branch(200)
    run.note(e.RolledBack("step-00000200.pt", 400, 200))
    assert look(follower).view.best == Best(0.5, 200)


def test_the_last_alert_stays(run: ScriptedRun, follower: Follower) -> None:
    run.begin()
    assert look(follower).view.alert is None
    run.note(e.AlertRaised("spike", "the loss jumped"))
    look(follower)
    run.note(e.NoteAdded("fine"))
    alert = look(follower).view.alert

    assert alert is not None and alert.entries[-1].event == e.AlertRaised("spike", "the loss jumped")
    assert look(follower).view.alerts == 1


def test_what_an_earlier_process_left_is_not_news(run: ScriptedRun, clock: FakeClock) -> None:
    run.begin()
    run.train(50, loss=math.nan)
    run.note(e.RunFailed("boom"))
    seen = Follower(run.directory, clock=clock)
    last, stale = seen.reader.newest_ids().event, repr(seen.reader.state())
    seen.close()

    follower = Follower(run.directory, clock=clock, after_event=last, stale=stale)
    assert follower.look() is None
    run.observe(activity=Activity.STARTING)
    run.note(STARTED)
    assert [entry.event for entry in look(follower).entries] == [STARTED]
    follower.close()
