"""Following a journal: one cheap check for news, packed rows, and consistent snapshots."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from engine.errors import UserError
from engine.journal.store import JOURNAL_FILE
from engine.journal.tail import JournalTail, StepRange
from engine.journal.writer import JournalWriter
from engine.protocol import events as e
from engine.protocol import wire
from tests.person_state import person_state

EVERYTHING = StepRange("steps", 0, -(2**62), 2**62)


@pytest.fixture
def tail(run_dir: Path, writer: JournalWriter) -> Iterator[JournalTail]:
    assert writer.flush()
    with closing(JournalTail(run_dir, busy_seconds=0.05)) as opened:
        yield opened


def test_the_version_changes_with_every_commit_of_another(writer: JournalWriter, tail: JournalTail) -> None:
    before = tail.version()
    writer.record_event(0, e.NoteAdded("x"))
    assert writer.flush()

    assert tail.version() != before


def test_a_journal_that_is_not_there_is_the_users_to_know(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no journal"):
        JournalTail(tmp_path, busy_seconds=0.05)


def test_rows_come_in_blocks_of_the_same_layout(writer: JournalWriter, tail: JournalTail) -> None:
    writer.record_step(1, 0.1, ("a", "b"), (1.0, math.nan))
    writer.record_step(2, 0.2, ("b",), (-math.inf,))
    writer.record_step(3, 0.3, ("a", "b"), (3.0, 4.0))
    assert writer.flush()
    with tail.snapshot():
        rows = tail.rows(EVERYTHING, limit=10)
        newest = tail.rows(EVERYTHING, limit=2, newest=True)

    assert rows.steps.tolist() == [1, 2, 3] and newest.steps.tolist() == [2, 3]
    both, single = rows.parts
    assert (both.names, both.at.tolist(), single.names, single.at.tolist()) == (("a", "b"), [0, 2], ("b",), [1])
    np.testing.assert_array_equal(both.values_NK, np.array([[1, np.nan], [3, 4]], np.float32))
    assert single.values_NK.tolist() == [[-math.inf]]


def test_spans_and_marks_say_what_a_table_holds(writer: JournalWriter, tail: JournalTail) -> None:
    with tail.snapshot():
        assert tail.mark("steps") is None and tail.oldest_step(EVERYTHING) is None
        assert tail.rows(EVERYTHING, limit=5).size == 0
    for step in range(5, 9):
        writer.record_step(step, 0.1, ("a",), (1.0,))
    assert writer.flush()
    with tail.snapshot():
        mark = tail.mark("steps")
        assert mark is not None and mark[:2] == (0, 8)
        assert (tail.oldest_step(EVERYTHING), tail.oldest_step(StepRange("steps", 0, 7, 99))) == (5, 7)
        assert (tail.count(EVERYTHING), tail.count(StepRange("steps", 0, 6, 7)), tail.lineage()) == (4, 2, ((0, None),))


def test_what_is_asked_in_a_snapshot_is_one_moment(writer: JournalWriter, tail: JournalTail) -> None:
    writer.record_state(person_state("before"))
    assert writer.flush()
    with tail.snapshot():
        first = tail.state_text()
        writer.record_state(person_state("after"))
        writer.record_event(0, e.NoteAdded("x"))
        assert writer.flush()
        assert tail.state_text() == first and tail.events(0, limit=9).entries == ()

    with tail.snapshot():
        assert wire.state_from_text(tail.state_text() or "").run == "after"


def test_events_come_in_portions_without_those_nobody_knows(
    run_dir: Path, writer: JournalWriter, tail: JournalTail
) -> None:
    for number in range(5):
        writer.record_event(number, e.NoteAdded(str(number)))
    assert writer.flush()
    with closing(sqlite3.connect(run_dir / JOURNAL_FILE)) as other, other:
        other.execute("UPDATE events SET kind = 'dreamed' WHERE id = 2")
        other.execute("UPDATE events SET status = 'odd' WHERE id = 3")
    with tail.snapshot():
        first, second = tail.events(0, limit=4), tail.events(4, limit=4)

    assert ([entry.id for entry in first.entries], first.last_id, first.num_read) == ([1, 4], 4, 4)
    assert ([entry.id for entry in second.entries], second.last_id, second.num_read) == ([5], 5, 1)


def test_values_that_nobody_can_read_are_no_meta(run_dir: Path, writer: JournalWriter, tail: JournalTail) -> None:
    writer.set_meta("good", {"a": 1})
    assert writer.flush()
    with closing(sqlite3.connect(run_dir / JOURNAL_FILE)) as other, other:
        other.execute("INSERT INTO meta VALUES ('bad', '{')")
    with tail.snapshot():
        assert (tail.meta("good"), tail.meta("bad"), tail.meta("none")) == ({"a": 1}, None, None)


@pytest.mark.parametrize("blob", [b"\1\2\3", b"\0" * 12])
def test_a_row_of_the_wrong_length_is_damage_and_not_a_crash(
    run_dir: Path, writer: JournalWriter, tail: JournalTail, blob: bytes
) -> None:
    writer.record_step(1, 0.1, ("a", "b"), (1.0, 2.0))
    assert writer.flush()
    with closing(sqlite3.connect(run_dir / JOURNAL_FILE)) as other, other:
        other.execute("UPDATE steps SET vals = ?", (blob,))

    with pytest.raises(UserError, match="cannot read"), tail.snapshot():
        tail.rows(EVERYTHING, limit=5)
