"""A run as a screen knows it: what each look brings, and what it says of journals that are absent, odd or locked."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cockpit.session.following.event_feed import EVENTS_PER_LOOK
from cockpit.session.run_summary import Best
from cockpit.session.session import Session
from cockpit.session.update import FULL_UPDATE, SessionUpdate
from engine.journal.reader import JournalReader
from engine.journal.store import JOURNAL_FILE
from engine.journal.task_meta import TASK
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from engine.protocol.task_spec import Metric, TaskSpec, Term
from engine.protocol.wire import spec_to_json
from tests.console.scripted import FakeClock
from tests.recorded import first_line, start_program
from tests.recorded_run import CHANCE, EPOCH_SECONDS, STARTED, STEP_SECONDS, RecordedRun, record_run

Watch = Callable[..., Session]

WRITES_STEPS = """
import sys, time
from pathlib import Path
from tests.recorded_run import RecordedRun
run = RecordedRun(Path(sys.argv[1]))
run.begin()
print("begun", flush=True)
for step in range(1, 201):
    run.train(step)
print("trained", flush=True)
sys.stdin.readline()
run.close()
"""


def test_before_there_is_a_journal_the_run_is_starting(tmp_path: Path, watch: Watch, clock: FakeClock) -> None:
    session = watch(tmp_path / "not-yet")
    session.poll()
    assert (session.state, session.notice, session.pulse) == (None, "starting", "starting, 0 s")
    clock.advance(3)

    assert session.poll() == SessionUpdate(time=True)
    assert session.pulse == "starting, 3 s"
    assert session.decide(c.Pause()).status is Status.REFUSED


def test_a_journal_that_appears_is_followed(tmp_path: Path, watch: Watch) -> None:
    session = watch(tmp_path / "run")
    session.poll()
    record_run(tmp_path / "run", steps=40)
    update = session.poll()

    assert update.state and update.steps and update.entries and session.notice == ""
    assert session.state is not None and session.state.step == 40
    assert (session.history.first_step, session.history.last_step, session.history.loading) == (1, 40, 1.0)
    assert session.chance == CHANCE


def test_a_recorded_run_is_known_whole_after_one_look(tmp_path: Path, watch: Watch) -> None:
    session = watch(record_run(tmp_path / "run", finished=True))
    session.poll()

    assert {"loss/total", "grad_share/boundary_refinement", "system/cpu", "val/miou"} < set(session.history.names)
    assert session.history.non_finite("loss_raw/active_contour").tolist() == [250, 251]
    assert session.best == Best(pytest.approx(0.58927, abs=1e-5), 400)
    assert [entry.id for entry in session.entries] == sorted({entry.id for entry in session.entries})
    assert session.pulse == "finished" and session.remaining is None and session.heartbeat_age is None


def test_a_task_that_is_described_later_is_taken_over(run: RecordedRun, watch: Watch) -> None:
    session = watch(run.directory)
    run.begin()
    session.poll()
    former = session.spec
    spec = TaskSpec("loop", terms=(Term("ce"),), metrics=(Metric("acc"),), score="acc")
    run.journal.set_meta(TASK, spec_to_json(spec))
    run.note(e.TaskDescribed(spec))
    update = session.poll()

    assert former.name != "loop" and update.state and session.state is not None
    assert session.spec == session.state.spec == spec and session.state.loss_weights["ce"] == 1.0
    assert not session.poll() and session.spec is session.state.spec
    run.note(e.NoteAdded("later"))
    session.poll()
    assert session.state.spec == spec


def test_each_look_brings_what_is_new_and_nothing_twice(run: RecordedRun, watch: Watch) -> None:
    session = watch(run.directory)
    run.begin()
    assert STARTED in [entry.event for entry in session.poll().entries]
    assert not session.poll()
    run.note(e.NoteAdded("one"))
    update = session.poll()
    assert [entry.event for entry in update.entries] == [e.NoteAdded("one")] and not update.steps
    run.train(5)
    update = session.poll()

    assert update.state and update.steps and update.entries == ()
    assert session.history.newest("lr") == pytest.approx(5e-6)
    assert len(session.entries) == 3 and not session.poll()


def test_thousands_of_events_arrive_in_slices_and_in_order(run: RecordedRun, watch: Watch) -> None:
    for number in range(2 * EVENTS_PER_LOOK + 10):
        run.journal.record_event(0, e.NoteAdded(str(number)))
    run.begin()
    session = watch(run.directory)
    looks = [len(session.poll().entries) for _ in range(4)]

    assert looks == [EVENTS_PER_LOOK, EVENTS_PER_LOOK, 12, 0]
    assert [entry.id for entry in session.entries] == list(range(1, 2 * EVENTS_PER_LOOK + 13))


def test_everything_is_news_and_nothing_is_not() -> None:
    assert FULL_UPDATE and not SessionUpdate()


def test_a_rollback_takes_back_what_is_superseded(run: RecordedRun, watch: Watch) -> None:
    session = watch(run.directory)
    run.begin()
    for step in (100, 200, 300):
        run.train(step)
        run.validate()
    assert not session.poll().rewound and session.best is not None and session.best.step == 300
    run.rewind(200)
    update = session.poll()

    assert update.rewound and update.steps
    assert session.history.last_step == 200
    run.train(250, changes={"lr": 1e-9})
    session.poll()
    assert session.history.at("lr", 201) == pytest.approx(1e-9)
    assert session.history.rows("lr", 0, 999)[0].tolist() == list(range(1, 251))


def test_a_run_that_is_made_anew_under_the_same_name_is_followed(
    tmp_path: Path, watch: Watch, clock: FakeClock
) -> None:
    session = watch(record_run(tmp_path / "run", steps=60))
    session.poll()
    shutil.rmtree(tmp_path / "run")
    clock.advance(2)
    session.poll()
    assert "cannot read" in session.notice and session.state is not None
    record_run(tmp_path / "run", steps=20)
    clock.advance(2)
    update = session.poll()

    assert session.notice == "" and update.entries and session.history.last_step == 20
    assert session.state.step == 20


def test_the_pulse_tells_what_the_engine_is_doing(run: RecordedRun, watch: Watch, clock: FakeClock) -> None:
    session = watch(run.directory)

    def pulse(seconds: float) -> str:
        session.poll()
        clock.advance(seconds)
        session.poll()
        return session.pulse

    run.observe(doing="importing torch")
    assert pulse(2) == "importing torch, 2 s"
    run.observe(doing="indexing \x1b[31mdata")
    assert pulse(65) == "indexing \\x1b[31mdata, 1 min 05 s"
    run.observe(doing="")
    run.begin()
    assert pulse(7) == "waiting for the first step, 7 s"
    for step in range(1, 5):
        run.train(step)
        assert pulse(1) == "running"
    assert pulse(40) == "step 5 is under way, 41 s"
    run.observe(doing="waiting for batch")
    assert pulse(3) == "waiting for batch, 3 s"
    run.note(e.Paused("running"))
    assert pulse(4) == "paused, 4 s"


def test_a_run_that_was_paused_before_it_was_opened_is_paused_since_then(
    run: RecordedRun, watch: Watch, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.begin()
    run.train(20)
    run.note(e.Paused("running"))
    monkeypatch.setattr("time.time", lambda: EPOCH_SECONDS + 20 * STEP_SECONDS + 75)
    session = watch(run.directory)
    session.poll()
    assert session.pulse == "paused, 1 min 15 s"
    clock.advance(5)
    session.poll()
    assert session.pulse == "paused, 1 min 20 s"
    run.note(e.Resumed("paused"))
    session.poll()
    run.note(e.Paused("running"))
    session.poll()
    clock.advance(3)
    session.poll()
    assert session.pulse == "paused, 3 s"


def test_speed_and_time_left_come_from_the_steps(run: RecordedRun, watch: Watch, clock: FakeClock) -> None:
    session = watch(run.directory)
    run.begin()
    session.poll()
    for step in (10, 20, 30):
        run.train(step)
        session.poll()
        clock.advance(5)
    session.poll()

    assert session.steps_per_second == pytest.approx(2.0)
    assert session.remaining == pytest.approx(970 / 2 - 5)
    with closing(JournalReader(run.directory)) as reader:
        writer = reader.heartbeat()
    assert writer is not None
    assert 15.0 <= session.elapsed <= 15.0 + time.time() - writer.started, "since the writer began"


def test_time_without_a_look_is_not_that_of_steps(run: RecordedRun, watch: Watch, clock: FakeClock) -> None:
    session = watch(run.directory)
    run.begin()
    for step in range(1, 9):
        run.train(step)
        session.poll()
        clock.advance(600 if step == 4 else 0.5)  # Ctrl+Z stops the screen and its training
    assert session.steps_per_second == pytest.approx(2.0)


def test_a_process_that_left_without_a_word_is_told(tmp_path: Path, watch: Watch, clock: FakeClock) -> None:
    program = start_program(WRITES_STEPS, tmp_path / "run")
    assert first_line(program) == "begun"
    session = watch(tmp_path / "run")
    session.poll()
    assert session.send(c.Pause()).status is Status.APPLIED
    program.kill()
    program.communicate()
    clock.advance(2)
    (answer,) = session.poll().answers

    assert session.pulse == "its process is gone without a word"
    took = session.elapsed
    assert took < 60 and session.steps_per_second is None
    clock.advance(100)
    session.poll()
    assert session.elapsed == took, "the time until its last heartbeat"
    assert (answer.entry.status, answer.entry.reason) == (Status.REFUSED, "the run's process is gone")
    assert session.pending == ()
    assert session.send(c.Pause()).reason == "the run 'run' is not running, so no process would read the command"


def test_a_process_that_ended_too_early_is_told(tmp_path: Path, watch: Watch) -> None:
    session = watch(record_run(tmp_path / "run", steps=20))
    session.poll()

    assert session.pulse == "its process left without finishing the run" and session.remaining is None


def test_a_run_in_another_process_is_followed_to_its_last_step(tmp_path: Path, watch: Watch) -> None:
    program = start_program(WRITES_STEPS, tmp_path / "run")
    assert first_line(program) == "begun"
    session = watch(tmp_path / "run")
    deadline = time.monotonic() + 60
    while session.history.last_step < 200 and time.monotonic() < deadline:
        session.poll()
        time.sleep(0.02)
    steps, _ = session.history.rows("loss/total", 0, 999)
    program.communicate("end\n")

    assert steps.tolist() == list(range(1, 201))
    assert session.heartbeat_age is not None and session.heartbeat_age < 10


@pytest.mark.parametrize("lost", [JOURNAL_FILE, f"{JOURNAL_FILE}-wal", "."])
def test_a_journal_that_its_writer_put_back_is_followed_without_a_break(
    run: RecordedRun, watch: Watch, clock: FakeClock, lost: str
) -> None:
    session = watch(run.directory)
    run.begin()
    run.train(10)
    seen = {entry.id for entry in session.poll().entries}
    assert session.send(c.AddNote("on its way")).status is not Status.REFUSED
    path = run.directory / lost
    shutil.rmtree(path) if lost == "." else path.unlink()
    run.note(e.NoteAdded("after"))
    clock.advance(2)
    update = session.poll()

    assert [entry.event for entry in update.entries] == [e.NoteAdded("after")]
    assert seen and not seen & {entry.id for entry in update.entries}
    assert session.notice == "" and session.history.last_step == 10
    assert update.answers == () and len(session.pending) == 1
    assert session.send(c.Pause()).status is not Status.REFUSED


@pytest.mark.parametrize("content", [b"", b"SQLite format 3"])
def test_nothing_is_said_of_a_journal_that_is_just_being_made(tmp_path: Path, watch: Watch, content: bytes) -> None:
    session = watch(tmp_path)
    session.poll()
    (tmp_path / JOURNAL_FILE).write_bytes(content)
    session.poll()
    assert session.notice == "starting"


@pytest.mark.parametrize("content", [b"", b"this is no database" * 100, b"SQLite format 3\0" + b"\1" * 5000])
def test_a_file_that_is_no_journal_is_told_and_not_raised(
    tmp_path: Path, watch: Watch, clock: FakeClock, content: bytes
) -> None:
    (tmp_path / JOURNAL_FILE).write_bytes(content)
    session = watch(tmp_path)

    for _ in range(3):
        assert not session.poll().state
        assert session.notice == "starting"  # it may be half made
    clock.advance(6)
    session.poll()
    assert ("cannot be read" in session.notice or "is not a journal" in session.notice) and session.state is None


def test_a_damaged_journal_is_told_and_what_was_read_stays(tmp_path: Path, watch: Watch, clock: FakeClock) -> None:
    session = watch(record_run(tmp_path / "run"))
    session.poll()
    file = tmp_path / "run" / JOURNAL_FILE
    with file.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(os.urandom(file.stat().st_size - 4096))
    with closing(sqlite3.connect(file)) as other, pytest.raises(sqlite3.DatabaseError):
        other.execute("UPDATE state SET time = 0")
        other.execute("SELECT count(*) FROM events").fetchone()
    fresh = watch(tmp_path / "run")
    clock.advance(6)
    fresh.poll()
    session.poll()

    assert fresh.notice == "the journal cannot be read, trying again" and fresh.state is None
    assert session.history.last_step == 400 and session.entries


def test_rows_that_cannot_be_read_do_not_hide_the_events(run: RecordedRun, watch: Watch, clock: FakeClock) -> None:
    session = watch(run.directory)
    run.begin()
    run.train(5)
    with closing(sqlite3.connect(run.directory / JOURNAL_FILE)) as other, other:
        other.execute("UPDATE steps SET vals = x'010203' WHERE step = 3")
    assert session.poll().entries and session.notice == "the journal cannot be read, trying again"
    run.note(e.NoteAdded("still here"))
    clock.advance(1)

    assert [entry.event for entry in session.poll().entries] == [e.NoteAdded("still here")]


def test_a_state_of_a_newer_program_is_told(run: RecordedRun, watch: Watch, clock: FakeClock) -> None:
    session = watch(run.directory)
    run.begin()
    session.poll()
    with closing(sqlite3.connect(run.directory / JOURNAL_FILE)) as other, other:
        other.execute("UPDATE state SET body = json_set(body, '$.activity', 'dreaming')")
        other.execute("INSERT INTO events VALUES (NULL, 0, 0, 0, 'x', NULL, 'noted', '', 'dreamed', '{}')")
    update = session.poll()

    assert "what this program does not know" in session.notice and not update.state
    assert session.state is not None and session.state.activity is Activity.RUNNING
    clock.advance(1)
    run.note(e.NoteAdded("awake"))
    session.poll()
    assert session.notice == "" and session.entries[-1].event == e.NoteAdded("awake")


def test_a_locked_journal_does_not_keep_the_screen_waiting(run: RecordedRun, watch: Watch) -> None:
    run.begin()
    session = watch(run.directory)
    session.poll()
    with closing(sqlite3.connect(run.directory / JOURNAL_FILE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        update = session.poll()
        outcome = session.send(c.Pause())
        assert not update.answers and outcome.status is Status.APPLIED
        assert [pending.command for pending in session.pending] == [c.Pause()] and session.pending[0].id < 0
        other.execute("ROLLBACK")
    session.poll()
    assert session.pending[0].id > 0
    run.answer_commands()

    (answer,) = session.poll().answers
    assert answer.entry.event == e.Paused("running") and session.pending == ()
