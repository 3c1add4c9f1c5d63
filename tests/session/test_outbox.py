"""Commands of a screen: foretold by the rule book, pending until answered, answered once."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from cockpit.session.session import Session
from engine.journal.store import JOURNAL_FILE
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.console.scripted import FakeClock
from tests.recorded_run import RecordedRun, record_run

Watch = Callable[..., Session]


def begun(run: RecordedRun, watch: Watch) -> Session:
    run.begin()
    session = watch(run.directory)
    session.poll()
    return session


def test_a_command_is_pending_until_its_event_arrives(run: RecordedRun, watch: Watch, clock: FakeClock) -> None:
    session = begun(run, watch)
    outcome = session.send(c.ScaleLr(0.5))
    assert outcome.event == e.LrScaled(5e-6, 2.5e-6, 0.5)
    assert [(held.command, held.sent_at) for held in session.pending] == [(c.ScaleLr(0.5), clock.now)]
    assert session.state is not None and session.state.lr == 5e-6
    assert not session.poll().answers and session.pending

    run.answer_commands()
    (answer,) = session.poll().answers
    assert (answer.pending.command, answer.entry.status) == (c.ScaleLr(0.5), Status.APPLIED)
    assert session.pending == () and session.state.lr == 2.5e-6
    assert not session.poll().answers


def test_what_the_rule_book_refuses_is_never_sent(run: RecordedRun, watch: Watch) -> None:
    session = begun(run, watch)
    outcome = session.send(c.ScaleLr(-1.0))

    assert outcome.status is Status.REFUSED and "positive" in outcome.reason
    assert session.pending == () and run.answer_commands() == []


def test_an_engine_that_knows_better_answers_with_its_reason(run: RecordedRun, watch: Watch) -> None:
    session = begun(run, watch)
    session.send(c.SetOptimizer("adam"))
    session.send(c.SetOptimizer("adam"))
    run.answer_commands()
    first, second = session.poll().answers

    assert first.entry.status is Status.APPLIED
    assert (second.entry.status, second.entry.reason) == (Status.REFUSED, "the optimizer is adam already")


def test_commands_of_others_are_no_answers_of_ours(run: RecordedRun, watch: Watch) -> None:
    ours, theirs = begun(run, watch), watch(run.directory)
    theirs.poll()
    theirs.send(c.Pause())
    run.answer_commands()
    update = ours.poll()

    assert [entry.event for entry in update.entries] == [e.Paused("running")] and update.answers == ()
    assert [answer.pending.command for answer in theirs.poll().answers] == [c.Pause()]


def test_a_screen_that_only_watches_sends_nothing(run: RecordedRun, watch: Watch) -> None:
    run.begin()
    session = watch(run.directory, can_steer=False)
    session.poll()

    assert session.send(c.Pause()).reason == "this screen is read-only" == session.decide(c.Pause()).reason
    assert run.answer_commands() == []


def test_a_finished_run_takes_no_commands(tmp_path: Path, watch: Watch) -> None:
    session = watch(record_run(tmp_path / "run", steps=20, finished=True))
    session.poll()

    assert session.send(c.Pause()).reason == "the run is finished"
    assert session.send(c.AddNote("late")).status is Status.REFUSED


def test_commands_that_found_the_journal_busy_are_sent_later_in_order(run: RecordedRun, watch: Watch) -> None:
    session = begun(run, watch)
    texts = ["one", "two", "three"]
    with closing(sqlite3.connect(run.directory / JOURNAL_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for text in texts:
            assert session.send(c.AddNote(text)).status is Status.APPLIED
        session.poll()
        assert all(held.id < 0 for held in session.pending)
        other.execute("ROLLBACK")
    session.poll()
    assert all(held.id > 0 for held in session.pending)

    assert [request.command for request in run.answer_commands()] == [c.AddNote(text) for text in texts]
    assert len(session.poll().answers) == 3 and session.pending == ()


def test_a_command_that_can_never_be_sent_is_answered_by_a_refusal(tmp_path: Path, watch: Watch) -> None:
    run = RecordedRun(tmp_path / "run")
    session = begun(run, watch)
    with closing(sqlite3.connect(run.directory / JOURNAL_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        session.send(c.Validate())
        other.execute("ROLLBACK")
    run.close()
    (answer,) = session.poll().answers

    assert (answer.entry.id, answer.entry.status) == (0, Status.REFUSED)
    assert "is not running" in answer.entry.reason and session.pending == ()


def test_what_a_run_did_not_read_before_its_end_is_refused(tmp_path: Path, watch: Watch) -> None:
    run = RecordedRun(tmp_path / "run")
    session = begun(run, watch)
    session.send(c.Validate())
    run.close()
    (answer,) = session.poll().answers

    assert answer.entry.id > 0 and answer.entry.reason == "the run ended before it read this"


def test_commands_in_a_file_that_is_gone_are_refused(tmp_path: Path, watch: Watch, clock: FakeClock) -> None:
    run = RecordedRun(tmp_path / "run")
    session = begun(run, watch)
    session.send(c.Validate())
    shutil.rmtree(tmp_path / "run")
    record_run(tmp_path / "run", steps=20)
    clock.advance(2)
    (answer,) = session.poll().answers
    run.close()

    assert (answer.entry.status, answer.entry.reason) == (Status.REFUSED, "the journal was replaced")
    assert session.pending == ()
