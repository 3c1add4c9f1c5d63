"""Every row of metrics once, whenever a journal is looked at, through rollbacks and repeated validations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cockpit.session.history import row_feed
from cockpit.session.history.row_feed import RowFeed
from engine.journal.tail import JournalTail
from engine.journal.writer import JournalWriter
from tests.recorded import writing


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[JournalWriter]:
    with writing(tmp_path / "run") as opened:
        yield opened


class Follower:
    """A feed, and what it returns at each look, as (kind, step, loss)."""

    def __init__(self, writer: JournalWriter, newest: int | None = None) -> None:
        self.writer = writer
        self.feed = RowFeed(newest)
        self.rewound = False

    def look(self) -> list[tuple[str, int, float]]:
        self.writer.flush()
        with closing(JournalTail(self.writer.path, busy_seconds=1)) as tail:
            is_more = True
            while is_more:
                with tail.snapshot():
                    self.rewound = self.feed.look(tail)
                is_more = self.feed.behind
        return [(row.kind[0], row.step, float(row.values_K[row.names.index("x")])) for row in self.feed.take()]


def train(writer: JournalWriter, first: int, last: int, value: float = 0.0) -> None:
    for step in range(first, last + 1):
        names = ("x", "lr") if step % 2 else ("lr", "x")
        writer.record_step(step, step / 10, names, (value, 9.0) if step % 2 else (9.0, value))


def steps(first: int, last: int, value: float = 0.0) -> list[tuple[str, int, float]]:
    return [("s", step, value) for step in range(first, last + 1)]


def test_rows_come_once_with_validations_after_their_step(writer: JournalWriter) -> None:
    follower = Follower(writer)
    assert follower.look() == []
    train(writer, 1, 4)
    writer.record_validation(2, 0.2, ("x",), (0.5,))
    assert follower.look() == [*steps(1, 2), ("v", 2, 0.5), *steps(3, 4)]
    assert follower.look() == []
    writer.record_validation(4, 0.4, ("x",), (0.25,))
    train(writer, 5, 6)
    assert follower.look() == [("v", 4, 0.25), *steps(5, 6)]


def test_a_second_validation_at_a_step_is_a_row_of_its_own(writer: JournalWriter) -> None:
    follower = Follower(writer)
    train(writer, 1, 3)
    writer.record_validation(3, 0.3, ("x",), (0.5,))
    assert follower.look() == [*steps(1, 3), ("v", 3, 0.5)]
    writer.record_validation(3, 0.3, ("x",), (0.75,))
    assert follower.look() == [("v", 3, 0.75)]
    assert follower.look() == []


def test_a_new_branch_continues_with_its_own_rows(writer: JournalWriter) -> None:
    follower = Follower(writer)
    train(writer, 1, 6)
    assert follower.look() == steps(1, 6)
    writer.open_branch(3)
    assert follower.look() == [] and follower.rewound
    train(writer, 4, 5, 1.0)
    writer.record_validation(4, 0.4, ("x",), (0.5,))
    assert follower.look() == [("s", 4, 1.0), ("v", 4, 0.5), ("s", 5, 1.0)]
    writer.open_branch(1)
    train(writer, 2, 8, 2.0)
    assert follower.look() == steps(2, 8, 2.0) and follower.rewound
    assert Follower(writer).look() == [*steps(1, 1), *steps(2, 8, 2.0)]


@pytest.mark.parametrize("newest", [0, 1, 3, 5, 6, 50])
def test_it_begins_with_the_newest_steps(writer: JournalWriter, newest: int) -> None:
    train(writer, 1, 4)
    writer.record_validation(2, 0.2, ("x",), (0.5,))
    writer.record_validation(4, 0.2, ("x",), (0.25,))
    writer.open_branch(4)
    train(writer, 5, 6)
    whole = [*steps(1, 2), ("v", 2, 0.5), *steps(3, 4), ("v", 4, 0.25), *steps(5, 6)]
    first = 7 - newest
    follower = Follower(writer, newest)
    assert follower.look() == [row for row in whole if row[1] >= first]
    train(writer, 7, 7)
    assert follower.look() == steps(7, 7)


def test_more_rows_than_one_read_takes_stay_in_order(writer: JournalWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_feed, "ROWS_PER_READ", 4)
    train(writer, 1, 10)
    writer.record_validation(5, 0.5, ("x",), (0.5,))
    writer.record_validation(10, 1.0, ("x",), (0.25,))
    follower = Follower(writer)
    assert follower.look() == [*steps(1, 5), ("v", 5, 0.5), *steps(6, 10), ("v", 10, 0.25)]
