"""One transaction: all of a batch, or nothing."""

from __future__ import annotations

import sqlite3
from array import array
from contextlib import closing
from pathlib import Path

import pytest

from engine.journal.sessions import begin_session
from engine.journal.store import create_journal
from engine.journal.transaction import Branch, EventRow, Meta, Point, Transaction, write_batch
from tests.person_state import person_state

TABLES = ("steps", "validations", "events", "layouts", "meta", "state")


def counts(connection: sqlite3.Connection) -> list[int]:
    return [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in (*TABLES, "branches")]


def test_without_room_nothing_is_written_and_the_same_batch_fits_later(run_dir: Path) -> None:
    points = [Point("steps", step, 0.1, 0.0, ("a",) * 100, array("f", [1.0] * 100)) for step in range(200)]
    event = EventRow(0.0, 1, "me", None, "noted", "", "note_added", '{"text": "x"}')
    with closing(create_journal(run_dir)) as connection:
        batch = Transaction(
            [Meta("k", "1"), Branch(5, 0.0), event, *points], person_state("r"), begin_session(connection), 0
        )
        before = counts(connection)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            write_batch(connection, batch)
        assert not connection.in_transaction
        assert counts(connection) == before
        connection.execute("PRAGMA max_page_count = 100000")
        assert write_batch(connection, batch) == 1
        assert counts(connection) == [200, 0, 1, 1, 1, 1, 2]


def test_a_fault_of_the_program_leaves_no_half_batch_either(run_dir: Path) -> None:
    with closing(create_journal(run_dir)) as connection:
        batch = Transaction([Meta("k", "1"), Point("nowhere", 1, 0.1, 0.0, (), array("f"))], None, 1, 0)
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            write_batch(connection, batch)
        assert counts(connection) == [0, 0, 0, 0, 0, 0, 1]
