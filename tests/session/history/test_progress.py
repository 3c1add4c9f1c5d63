"""Epoch and running time of steps: gaps between processes are left out, discarded steps and pauses are not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cockpit.session.history import progress as progress_module
from cockpit.session.history.progress import StepProgress, running_time
from engine.journal.store import JOURNAL_FILE, create_journal
from engine.journal.tail import JournalTail


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(create_journal(tmp_path)) as connection:
        connection.execute("INSERT INTO layouts VALUES (1, '[\"loss\"]')")
        yield connection


def add_steps(journal: sqlite3.Connection, branch: int, first: int, last: int, start: float) -> None:
    """One step a second from `start` on, ten of them an epoch."""
    value = np.float32(1).tobytes()
    rows = ((branch, step, step / 10, start + step - first, value) for step in range(first, last + 1))
    journal.executemany("INSERT INTO steps VALUES (?, ?, ?, ?, 1, ?)", rows)


def add_session(journal: sqlite3.Connection, started: float, ended: float | None, heartbeat: float = 0.0) -> None:
    journal.execute("INSERT INTO sessions VALUES (NULL, ?, ?, ?, 1, 'host', 0)", (started, ended, heartbeat))


def progress_of(directory: Path) -> StepProgress:
    return StepProgress(partial(JournalTail, directory / JOURNAL_FILE, busy_seconds=1.0))


def test_the_time_between_two_processes_does_not_count(journal: sqlite3.Connection, tmp_path: Path) -> None:
    add_session(journal, 990.0, 1_010.0)
    add_steps(journal, 0, 1, 10, 1_000.0)
    add_session(journal, 90_000.0, None, 90_020.0)
    journal.execute("INSERT INTO branches VALUES (1, 10, 90000)")
    add_steps(journal, 1, 11, 15, 90_005.0)
    found = progress_of(tmp_path)
    assert found.steps.size == 0
    found.refresh()
    assert found.steps.tolist() == list(range(1, 16))
    assert found.epochs[-1] == 1.5
    assert found.seconds[[0, 9, 10, 14]].tolist() == [10.0, 19.0, 25.0, 29.0]


def test_steps_that_a_rollback_discarded_took_their_time(journal: sqlite3.Connection, tmp_path: Path) -> None:
    add_session(journal, 1_000.0, None, 1_100.0)
    add_steps(journal, 0, 1, 20, 1_001.0)
    found = progress_of(tmp_path)
    found.refresh()
    assert found.steps[-1] == 20
    journal.execute("INSERT INTO branches VALUES (1, 10, 1025)")
    add_steps(journal, 1, 11, 12, 1_030.0)
    before = found.version
    found.refresh()
    assert found.version > before
    assert found.steps.tolist() == list(range(1, 13))
    assert found.seconds[[9, 10]].tolist() == [10.0, 30.0]


def test_new_steps_are_added_and_a_refresh_without_any_changes_nothing(
    journal: sqlite3.Connection, tmp_path: Path
) -> None:
    add_session(journal, 1_000.0, None, 1_100.0)
    add_steps(journal, 0, 1, 5, 1_001.0)
    found = progress_of(tmp_path)
    found.refresh()
    version = found.version
    found.refresh()
    assert found.version == version
    add_steps(journal, 0, 6, 7, 1_006.0)
    found.refresh()
    assert found.version == version + 1 and found.seconds.tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_of_a_long_branch_some_steps_are_read_and_the_newest(
    journal: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "MOST_ROWS", 40)
    add_session(journal, 1_000.0, None, 2_000.0)
    add_steps(journal, 0, 1, 1_000, 1_001.0)
    found = progress_of(tmp_path)
    found.refresh()
    assert found.steps.size <= 41 and found.steps[[0, -1]].tolist() == [1, 1_000]
    assert np.array_equal(found.seconds, found.steps)
    assert (np.diff(found.steps) > 0).all()


def test_a_missing_journal_leaves_no_steps(tmp_path: Path) -> None:
    found = progress_of(tmp_path)
    found.refresh()
    assert (found.steps.size, found.version) == (0, 0)


def test_a_clock_that_was_set_back_never_makes_time_fall() -> None:
    times = np.array([100.0, 101.0, 50.0, 51.0, 110.0])
    assert running_time(times, [(99.0, 120.0)]).tolist() == [1.0, 2.0, 2.0, 2.0, 11.0]
    assert running_time(times[:2], []).tolist() == [0.0, 1.0]
