"""Long journals arrive newest first, on a thread of their own, and end up as a reader of the whole file sees them."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from cockpit.session.history import backfill, loader
from cockpit.session.session import Session
from engine.journal.reader import JournalReader
from engine.journal.store import JOURNAL_FILE
from engine.journal.tail import JournalTail
from tests.recorded import writing
from tests.recorded_run import RecordedRun

Watch = Callable[..., Session]
NAMES = ("loss", "lr", "norm")


def add_rows(directory: Path, branch: int, steps: Sequence[int], *, table: str = "steps") -> None:
    """Write rows where the writer would, much faster; every hundredth value is not finite."""
    with closing(sqlite3.connect(directory / JOURNAL_FILE)) as connection, connection:
        layout, names = (1, NAMES) if table == "steps" else (2, [f"val/{name}" for name in NAMES])
        connection.execute("INSERT OR IGNORE INTO layouts VALUES (?, ?)", (layout, json.dumps(names)))
        values = np.random.default_rng(branch).standard_normal((len(steps), len(NAMES))).astype(np.float32)
        values[::100, 0] = math.nan
        rows = ((branch, step, step / 10, 1.0, layout, row.tobytes()) for step, row in zip(steps, values, strict=True))
        connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?)", rows)


def add_branch(directory: Path, branch: int, from_step: int) -> None:
    with closing(sqlite3.connect(directory / JOURNAL_FILE)) as connection, connection:
        connection.execute("INSERT INTO branches VALUES (?, ?, 0)", (branch, from_step))


def until_loaded(session: Session) -> None:
    deadline = time.monotonic() + 60
    session.poll()
    while session.history.loading < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
        session.poll()
    session.poll()
    assert session.history.loading == 1


def assert_as_read(session: Session, directory: Path) -> None:
    """The histories hold what the reader of the whole journal finds."""
    with closing(JournalReader(directory)) as reader:
        names = reader.metric_names()
        series = reader.series(names)
    assert set(session.history.names) == set(names)
    for name in names:
        steps, values = session.history.rows(name, -(2**62), 2**62)
        np.testing.assert_array_equal(steps, series.steps[series.present[name]])
        np.testing.assert_array_equal(values, series.values[name][series.present[name]])
        bad = series.steps[series.present[name] & ~np.isfinite(series.values[name])]
        np.testing.assert_array_equal(session.history.non_finite(name), bad)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    with writing(tmp_path):
        pass
    return tmp_path


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "FIRST_ROWS", 50)
    monkeypatch.setattr(loader, "ROWS_PER_LOOK", 70)
    monkeypatch.setattr(backfill, "ROWS_PER_CHUNK", 64)


def test_the_newest_rows_of_a_long_journal_are_there_at_once(journal: Path, watch: Watch) -> None:
    add_rows(journal, 0, range(1, 60_001))
    session = watch(journal)
    session.poll()

    assert session.history.last_step == 60_000 and session.history.rows("loss", 55_001, 60_000)[0].size == 5000
    until_loaded(session)
    assert session.history.first_step == 1
    assert_as_read(session, journal)


def test_looks_tell_of_rows_that_a_thread_has_read(journal: Path, watch: Watch) -> None:
    add_rows(journal, 0, range(1, 30_001))
    session = watch(journal)
    session.poll()
    deadline = time.monotonic() + 60
    while session.history.first_step > 1 and time.monotonic() < deadline:
        time.sleep(0.01)

    assert session.poll().steps


@pytest.mark.usefixtures("small_pieces")
def test_a_lineage_of_many_branches_is_read_whole(journal: Path, watch: Watch) -> None:
    add_rows(journal, 0, range(1, 1001))
    for branch, from_step in enumerate((800, 900, 500, 700, 40), start=1):
        add_branch(journal, branch, from_step)
        add_rows(journal, branch, range(from_step + 1, from_step + 300))
        add_rows(journal, branch, range(from_step + 10, from_step + 300, 10), table="validations")
    session = watch(journal)
    until_loaded(session)

    assert_as_read(session, journal)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("loaded", [False, True])
def test_branches_that_open_while_one_watches_are_followed(journal: Path, watch: Watch, loaded: bool) -> None:
    add_rows(journal, 0, range(1, 2001))
    session = watch(journal)
    session.poll()
    if loaded:
        until_loaded(session)
    for branch, from_step in enumerate((1500, 1600, 1200, 10), start=1):
        add_rows(journal, branch - 1, range(from_step + 1, from_step + 200))
        add_branch(journal, branch, from_step)
        add_rows(journal, branch, range(from_step + 1, from_step + 150))
        if branch % 2:
            assert session.poll().rewound
    until_loaded(session)
    for _ in range(30):
        session.poll()

    assert_as_read(session, journal)


@pytest.mark.usefixtures("small_pieces")
def test_more_rows_than_one_look_takes_arrive_with_the_next_looks(journal: Path, watch: Watch) -> None:
    add_rows(journal, 0, range(1, 31))
    session = watch(journal)
    session.poll()
    add_rows(journal, 0, range(31, 500))
    reached: list[int] = []
    for _ in range(10):
        session.poll()
        reached.append(session.history.last_step)

    assert reached[0] < reached[3] < 499 == reached[-1]
    assert_as_read(session, journal)


def test_steps_far_apart_need_no_room_for_what_lies_between(journal: Path, watch: Watch) -> None:
    add_rows(journal, 0, [1, 2, 10**9, 10**12, 10**15])
    add_rows(journal, 0, range(10**15 + 1, 10**15 + 20_000))
    session = watch(journal)
    until_loaded(session)

    assert_as_read(session, journal)


def test_a_validation_made_again_at_the_same_step_takes_its_place(run: RecordedRun, watch: Watch) -> None:
    run.begin()
    run.train(10)
    session = watch(run.directory)
    for miou in (0.25, 0.75):
        run.journal.record_validation(10, 0.2, ("val/miou",), (miou,))
        run.flush()
        session.poll()

        assert session.history.rows("val/miou", 0, 99)[1].tolist() == [miou]
        run.observe(step=run.state.step + 1)


def test_closing_while_old_rows_are_read_leaves_no_thread(journal: Path, watch: Watch) -> None:
    add_rows(journal, 0, range(1, 60_001))
    session = watch(journal)
    session.poll()
    session.close()
    first = session.history.first_step
    time.sleep(0.1)

    assert session.history.first_step == first


def test_an_idle_look_asks_for_nothing_but_the_version(
    journal: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rows(journal, 0, range(1, 4001))
    session = watch(journal)
    session.poll()
    snapshots: list[JournalTail] = []
    real = JournalTail.snapshot
    monkeypatch.setattr(JournalTail, "snapshot", lambda tail: snapshots.append(tail) or real(tail))
    for _ in range(20):
        session.poll()
    assert snapshots == []
    add_rows(journal, 0, [4001])

    assert session.poll().steps and snapshots


def test_recent_steps_alone_take_memory_that_does_not_grow(run: RecordedRun, watch: Watch) -> None:
    run.begin()
    add_rows(run.directory, 0, range(1, 20_001))
    add_rows(run.directory, 0, range(100, 20_001, 2), table="validations")
    session = watch(run.directory, recent_only=True)
    until_loaded(session)
    assert session.history.rows("loss", 0, 2**62)[0].tolist() == [20_000]
    assert session.history.rows("val/lr", 0, 2**62)[0].tolist() == list(range(100, 20_001, 2))
    first = 20_001
    while first < 30_000:
        add_rows(run.directory, 0, range(first, first + 500))
        first += 500
        session.poll()
        assert session.history.last_step == first - 1
        assert session.history.size("steps") <= loader.RECENT_ROWS + 500


def test_recent_steps_are_those_of_the_lineage_that_counts(run: RecordedRun, watch: Watch) -> None:
    run.begin()
    add_rows(run.directory, 0, range(1, 101))
    session = watch(run.directory, recent_only=True)
    session.poll()
    add_branch(run.directory, 1, 50)
    add_rows(run.directory, 1, range(51, 61))
    assert session.poll().rewound
    assert session.history.last_step == 60
    assert session.history.rows("loss", 0, 99)[0].tolist() == [60]
