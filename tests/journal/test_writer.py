"""Recording: cheap, in order, and never lost silently."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from engine.errors import UserError
from engine.journal import store
from engine.journal import writer as writer_module
from engine.journal.reader import JournalReader
from engine.journal.store import JOURNAL_FILE
from engine.journal.writer import JournalWriter
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.person_state import person_state
from tests.recorded import first_line, start_program, writing

WRITER = """
import sys, time
from pathlib import Path
from engine.journal.writer import JournalWriter
writer = JournalWriter(Path(sys.argv[1]))
writer.start()
print("started", flush=True)
time.sleep(60)
"""


def wait_until(condition: Callable[[], object], seconds: float = 5) -> None:
    """Wait for `condition`, at most `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_what_was_recorded_is_read_back(run_dir: Path, writer: JournalWriter) -> None:
    writer.set_meta("config", {"epochs": 3, "rate": math.inf})
    writer.record_step(1, 0.5, ("loss", "lr"), (0.25, 5e-6))
    writer.record_validation(1, 0.5, ("val/miou",), (0.75,))
    writer.record_event(1, e.NoteAdded("calm"), status=Status.APPLIED, reason="why", actor="me", command_id=7)
    writer.record_state(person_state("r", step=1))
    assert writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        assert reader.meta("config") == {"epochs": 3, "rate": "Infinity"}
        series = reader.series(["loss", "lr", "val/miou"])
        assert [values.tolist() for values in series.values.values()] == [[0.25], [np.float32(5e-6)], [0.75]]
        (entry,) = reader.events()
        assert (entry.step, entry.event, entry.reason, entry.actor) == (1, e.NoteAdded("calm"), "why", "me")
        assert (entry.status, entry.command_id, entry.branch) == (Status.APPLIED, 7, 0)
        assert abs(entry.time - time.time()) < 60
        assert reader.state() == person_state("r", step=1)


def test_values_are_those_of_the_moment_of_recording(run_dir: Path, writer: JournalWriter) -> None:
    values = [1.0, 2.0]
    writer.record_step(1, 0.1, ("a", "b"), values)
    values[0] = 99.0
    writer.record_step(2, 0.2, ("a", "b"), np.array([3.0, 4.0], np.float32))
    assert writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        assert reader.series(["a"]).values["a"].tolist() == [1.0, 3.0]


def test_names_and_values_of_different_number_are_a_fault(writer: JournalWriter) -> None:
    with pytest.raises(AssertionError, match="2 names for 1 values"):
        writer.record_step(1, 0.1, ("a", "b"), (1.0,))


def test_the_latest_state_and_meta_win(run_dir: Path, writer: JournalWriter) -> None:
    for step in range(1000):
        writer.record_state(person_state("r", step=step))
        writer.set_meta("step", step)
    assert writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        state = reader.state()
        assert state is not None
        assert (state.step, reader.meta("step")) == (999, 999)


def test_rows_are_committed_without_being_asked_for(run_dir: Path, writer: JournalWriter) -> None:
    with closing(JournalReader(run_dir)) as reader:
        writer.record_step(5, 0.1, ("a",), (1.0,))
        wait_until(lambda: reader.newest_ids().step == 5)


def test_a_row_after_a_quiet_time_is_committed_at_once_and_a_stream_now_and_then(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "COMMIT_SECONDS", 60.0)
    monkeypatch.setattr(writer_module, "HEARTBEAT_SECONDS", 60.0)
    drain, drained = JournalWriter._drain, threading.Event()

    def drain_and_tell(writer: JournalWriter) -> None:
        drain(writer)
        drained.set()

    monkeypatch.setattr(JournalWriter, "_drain", drain_and_tell)
    with writing(run_dir) as writer, closing(JournalReader(run_dir)) as reader:
        writer.record_step(1, 0.1, ("a",), (1.0,))
        assert drained.wait(30)  # what comes before that is committed immediately too
        assert reader.newest_ids().step == 1
        writer.record_step(2, 0.2, ("a",), (2.0,))
        writer.record_state(person_state("r"))
        time.sleep(0.3)
        assert reader.newest_ids().step == 1 and reader.state() is None
        assert writer.flush()
        assert reader.newest_ids().step == 2 and reader.state() == person_state("r")


@pytest.mark.parametrize("record", [lambda w: w.record_state(person_state("r")), lambda w: w.set_meta("key", "value")])
def test_whatever_is_recorded_wakes_the_writer(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, record: Callable[[JournalWriter], None]
) -> None:
    monkeypatch.setattr(writer_module, "HEARTBEAT_SECONDS", 60.0)
    with writing(run_dir) as writer, closing(JournalReader(run_dir)) as reader:
        record(writer)
        wait_until(lambda: reader.state() is not None or reader.meta("key") is not None)


def test_rows_are_stamped_by_the_clock_that_was_given(run_dir: Path) -> None:
    writer = JournalWriter(run_dir, clock=lambda: 1234.5)
    writer.start()
    writer.record_event(1, e.NoteAdded("x"))
    writer.close()
    with closing(JournalReader(run_dir)) as reader:
        assert [entry.time for entry in reader.events()] == [1234.5]
        session = reader.heartbeat()
        assert session is not None and session.age < 60


def test_the_heart_beats_when_nothing_happens(
    run_dir: Path, writer: JournalWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "HEARTBEAT_SECONDS", 0.0)
    with closing(JournalReader(run_dir)) as reader:
        first = reader.heartbeat()
        assert first is not None
        wait_until(lambda: (now := reader.heartbeat()) is not None and now.heartbeat > first.heartbeat + 0.3)


def test_closing_commits_what_is_left_and_may_be_repeated(run_dir: Path) -> None:
    writer = JournalWriter(run_dir)
    writer.start()
    for step in range(20_000):
        writer.record_step(step, 0.1, ("a",), (1.0,))
    writer.close()
    writer.close()
    assert not writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        assert reader.series(["a"]).steps.size == 20_000
        session = reader.heartbeat()
        assert session is not None
        assert session.ended is not None


def test_rows_recorded_before_the_start_are_kept_up_to_a_bound(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_PENDING", 10)
    writer = JournalWriter(run_dir)
    assert not writer.flush()
    for step in range(30):
        writer.record_step(step, 0.1, ("a",), (1.0,))
        writer.record_event(step, e.NoteAdded("kept"))
    writer.start()
    assert writer.flush()
    writer.close()
    with closing(JournalReader(run_dir)) as reader:
        assert len(reader.events()) == 30
        assert reader.series(["a"]).steps.size + writer.dropped == 30
    assert writer.dropped > 0


def test_a_second_writer_is_refused_and_changes_nothing(run_dir: Path, writer: JournalWriter) -> None:
    with pytest.raises(UserError, match=r"cannot write to .*run\.sqlite: another process writes it"):
        JournalWriter(run_dir).start()
    with closing(JournalReader(run_dir)) as reader:
        session = reader.heartbeat()
        assert session is not None
        assert session.id == 1
    writer.record_step(1, 0.1, ("a",), (1.0,))
    assert writer.flush()


def test_a_writer_in_another_process_is_refused_until_the_first_dies(run_dir: Path) -> None:
    with start_program(WRITER, run_dir) as other:
        assert first_line(other) == "started"
        with pytest.raises(UserError, match="another process"):
            JournalWriter(run_dir).start()
        other.kill()
        other.wait()
    with writing(run_dir) as writer:
        assert writer.flush()


def test_a_start_that_fails_gives_everything_back(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing(run_dir):
        pass
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(run_dir / JOURNAL_FILE, isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match="database is locked"):
            JournalWriter(run_dir).start()
        intruder.execute("ROLLBACK")
    with writing(run_dir) as writer:
        assert writer.flush()


def test_an_end_that_cannot_be_written_is_told(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.05)
    writer = JournalWriter(run_dir)
    writer.start()
    with closing(sqlite3.connect(run_dir / JOURNAL_FILE, isolation_level=None)) as intruder:
        intruder.execute("BEGIN IMMEDIATE")
        writer.close()
        intruder.execute("ROLLBACK")
    assert writer.failure == "database is locked"
    with closing(JournalReader(run_dir)) as reader:
        session = reader.heartbeat()
        assert session is not None
        assert session.ended is None


def test_text_that_no_encoding_holds_is_written_out(run_dir: Path, writer: JournalWriter) -> None:
    writer.record_event(1, e.NoteAdded("a\udcff"), actor="b\udcff", reason="c\udcff")
    writer.record_step(1, 0.1, ("d\udcff",), (1.0,))
    assert writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        (entry,) = reader.events()
        assert (entry.event, entry.actor, entry.reason) == (e.NoteAdded("a\udcff"), "b\\udcff", "c\\udcff")
        assert reader.metric_names() == ("d\udcff",)


def test_a_run_that_begins_again_is_starting_not_finished(run_dir: Path) -> None:
    with writing(run_dir) as writer:
        writer.record_state(person_state("r", activity=e.Activity.FINISHED, step=9))
    with writing(run_dir), closing(JournalReader(run_dir)) as reader:
        assert reader.state() == person_state("r", activity=e.Activity.STARTING, step=9)


def test_a_locked_file_is_waited_for_and_nothing_is_lost(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", 0.05)
    with writing(run_dir) as writer:
        with closing(sqlite3.connect(run_dir / JOURNAL_FILE, isolation_level=None)) as intruder:
            intruder.execute("BEGIN IMMEDIATE")
            for step in range(5):
                writer.record_step(step, 0.1, ("a",), (float(step),))
                writer.record_event(step, e.NoteAdded(str(step)))
            assert not writer.flush()
            assert writer.failure == "database is locked"
            intruder.execute("ROLLBACK")
        assert writer.flush()
        assert writer.failure is None
        writer.record_step(5, 0.1, ("a",), (5.0,))
        assert writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        assert reader.series(["a"]).values["a"].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
        assert [entry.step for entry in reader.events()] == [0, 1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_fell_says_so_and_nobody_waits_for_it(run_dir: Path) -> None:
    with writing(run_dir) as writer:
        writer.record_state(person_state("r", loss=np.float32(1)))  # pyright: ignore[reportArgumentType]
        started = time.monotonic()
        wait_until(lambda: writer.failure is not None)
        assert not writer.flush(timeout=10)
        assert time.monotonic() - started < 5
        assert "cannot go on the wire" in (writer.failure or "")
