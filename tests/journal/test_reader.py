"""Reading a journal that is written by another process, or by an older program."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.reader import JournalReader, Newest
from engine.journal.store import JOURNAL_FILE
from engine.journal.writer import JournalWriter
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.person_state import person_state


def test_a_journal_without_rows_answers_with_nothing(run_dir: Path, writer: JournalWriter) -> None:
    with closing(JournalReader(run_dir)) as reader:
        assert reader.state() is None
        assert reader.meta("config") is None
        assert reader.metric_names() == ()
        assert reader.events() == []
        assert reader.outcome(1) is None
        assert reader.newest_ids() == Newest(0, 0, 0, 0)
        assert reader.lineage() == ((0, None),)
        assert reader.is_alive()


def test_the_file_or_its_directory_may_be_named(run_dir: Path, writer: JournalWriter) -> None:
    with closing(JournalReader(run_dir / JOURNAL_FILE)) as reader:
        assert reader.path == run_dir / JOURNAL_FILE


def test_events_can_be_followed_and_filtered(run_dir: Path, writer: JournalWriter) -> None:
    for step in range(4):
        writer.record_event(step, e.NoteAdded(str(step)))
        writer.record_event(step, e.SampleRejected("a.jpg", "truncated"))
    writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        assert [entry.id for entry in reader.events()] == list(range(1, 9))
        assert [entry.id for entry in reader.events(after_id=6)] == [7, 8]
        notes = reader.events(kinds=("note_added", "paused"))
        assert [entry.event for entry in notes] == [e.NoteAdded(str(step)) for step in range(4)]
        assert reader.events(kinds=()) == []
        assert reader.events(after_id=8) == []


def test_the_outcome_of_a_command_is_its_first_answer(run_dir: Path, writer: JournalWriter) -> None:
    writer.record_event(3, e.CheckpointRequested(), command_id=4)
    writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        assert reader.outcome(4) is None
        writer.record_event(3, e.Paused("running"), status=Status.REFUSED, reason="no", command_id=4)
        writer.record_event(4, e.Paused("running"), status=Status.APPLIED, command_id=4)
        writer.flush()
        outcome = reader.outcome(4)
        assert outcome is not None
        assert (outcome.status, outcome.reason, outcome.step) == (Status.REFUSED, "no", 3)


def test_the_newest_rows_follow_the_branch(run_dir: Path, writer: JournalWriter) -> None:
    writer.record_step(7, 0.1, ("a",), (1.0,))
    writer.record_event(7, e.NoteAdded("x"))
    writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        assert reader.newest_ids() == Newest(branch=0, step=7, event=1, command=0)
        writer.open_branch(2)
        writer.record_step(3, 0.1, ("a",), (1.0,))
        writer.flush()
        assert reader.newest_ids() == Newest(branch=1, step=3, event=1, command=0)


def test_events_after_a_branch_belong_to_it(run_dir: Path, writer: JournalWriter) -> None:
    writer.record_event(9, e.NoteAdded("before"))
    writer.open_branch(5)
    writer.record_event(5, e.RolledBack("a.pt", 9, 5))
    writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        assert [entry.branch for entry in reader.events()] == [0, 1]


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        ("INSERT INTO events VALUES (1, 0, 0, 0, 'x', NULL, 'noted', '', 'exploded', '{}')", JournalReader.events),
        ("INSERT INTO events VALUES (1, 0, 0, 0, 'x', NULL, 'noted', '', 'paused', '{}')", JournalReader.events),
        ("""INSERT INTO state VALUES (1, 0, '{"run": 3}')""", JournalReader.state),
        ("INSERT INTO meta VALUES ('k', '{')", lambda reader: reader.meta("k")),
    ],
)
def test_what_a_later_program_wrote_is_named(
    run_dir: Path, writer: JournalWriter, statement: str, read: object
) -> None:
    with closing(sqlite3.connect(run_dir / JOURNAL_FILE)) as other:
        other.execute(statement)
        other.commit()
    with (
        closing(JournalReader(run_dir)) as reader,
        pytest.raises(UserError, match="has content unknown to this program"),
    ):
        read(reader)  # pyright: ignore[reportCallIssue]


def test_a_state_keeps_every_field(run_dir: Path, writer: JournalWriter) -> None:
    state = person_state("r", refinements=frozenset({"subpixel_conv"}), loss_weights={"dice": 0.5}, loss=float("inf"))
    writer.record_state(state)
    writer.flush()
    with closing(JournalReader(run_dir)) as reader:
        assert reader.state() == state
