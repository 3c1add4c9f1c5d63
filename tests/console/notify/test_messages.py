"""The messages about a run: each incident once, promotions, rollbacks and the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cockpit.console.notify.messages import Notice, joined, notices_of
from cockpit.console.notify.process import EventSession
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.recorded_run import EPOCH_SECONDS, RecordedRun, record_run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RecordedRun]:
    """A live run before its first step."""
    recorded = RecordedRun(tmp_path / "night", total_steps=400)
    recorded.begin()
    yield recorded
    recorded.close()


def told(session: EventSession, since: float = 0.0) -> list[Notice]:
    return list(notices_of(session.poll(), session, since))


def test_a_whole_run_gives_few_messages(tmp_path: Path) -> None:
    directory = record_run(tmp_path / "night", finished=True)
    with closing(EventSession(directory, can_steer=False)) as session:
        notices = told(session)
    assert [(notice.title, notice.kind) for notice in notices] == [
        ("night: alert 1", "warning"),
        ("night: step 160", "info"),
        ("night: finished", "success"),
    ]
    assert notices[0].text.startswith("steps 250-251 were not finite")
    assert notices[1].text == "phase 1 -> 2, on: active_contour_loss, by cockpit"
    assert notices[2].text.startswith("all steps done; step 400 of 1000; best miou 0.")


def test_an_incident_that_grows_is_told_once(run: RecordedRun) -> None:
    with closing(EventSession(run.directory, can_steer=False)) as session:
        run.note(e.AlertRaised("gradient", "norms explode", at_step=3))
        assert [notice.title for notice in told(session)] == ["night: alert 1"]
        run.note(e.AlertRaised("gradient", "norms explode again", at_step=4))
        assert told(session) == []


def test_what_is_older_than_the_start_of_this_process_is_not_told(run: RecordedRun) -> None:
    run.note(e.AlertRaised("gradient", "norms explode", at_step=3))
    with closing(EventSession(run.directory, can_steer=False)) as session:
        assert told(session, since=EPOCH_SECONDS + 1) == []


def test_rollbacks_name_their_actor_and_refusals_are_left_out(run: RecordedRun) -> None:
    with closing(EventSession(run.directory, can_steer=False)) as session:
        run.note(e.RolledBack("a\x1b.pt", 30, 20), actor="guardian", reason="3 faults in a row", status=Status.APPLIED)
        run.note(e.PhaseDemoted(2, 1, ()), actor="guardian", status=Status.APPLIED)
        run.note(e.CommandRefused("promote", {}), actor="agent", status=Status.REFUSED)
        back, demoted = told(session)
    assert back.text.endswith("by guardian (3 faults in a row)")
    assert "\x1b" not in back.text
    assert (back.kind, demoted.kind) == ("warning", "warning")


def test_a_failure_says_how_to_go_on(run: RecordedRun) -> None:
    with closing(EventSession(run.directory, can_steer=False)) as session:
        run.note(e.RunFailed("ValueError: the disk is full"))
        (notice,) = told(session)
    assert (notice.title, notice.kind) == ("night: failed", "failure")
    assert notice.text.startswith("ValueError: the disk is full; step 0 of 400; go on with: ")
    assert "--resume" in notice.text


def test_several_messages_become_one_as_serious_as_the_worst() -> None:
    alert, end = Notice("r: alert 1", "a spike", "warning"), Notice("r: failed", "full", "failure")
    assert joined([end]) == end
    assert joined([alert, end]) == Notice("r: failed (and 1 more)", "r: alert 1: a spike\nr: failed: full", "failure")
    assert joined([alert], 3).text == "and 3 more, earlier\nr: alert 1: a spike"
