"""Histories grow at both ends, lose what is superseded, and tell absent from NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cockpit.session.history.history import History
from engine.journal.series import RowBlock, Rows
from tests.session.brute import assert_same, brute_buckets, points_at, rows_of, wild

METRICS = {
    "loss": points_at(range(1, 5001), wild(5000, 1)),
    "share": {step: float(step) for step in range(10, 5001, 10)},
    "late": points_at(range(3000, 5001), wild(2001, 2)),
}


def between(first: int, last: int) -> Rows:
    """The rows of METRICS from `first` to `last`."""
    return rows_of({name: {s: v for s, v in held.items() if first <= s <= last} for name, held in METRICS.items()})


def same(one: History, other: History) -> None:
    """Both say the same of every metric in several windows."""
    assert one.names == other.names
    assert (one.first_step, one.last_step) == (other.first_step, other.last_step)
    for name in other.names:
        np.testing.assert_array_equal(one.rows(name, -(2**62), 2**62), other.rows(name, -(2**62), 2**62))
        np.testing.assert_array_equal(one.non_finite(name), other.non_finite(name))
        for window in ((1.0, 5001.0, 97), (2990.0, 3100.0, 40), (1.0, 400.0, 3)):
            first, last, columns = window
            found = one.buckets(name, first=first, last=last, columns=columns)
            assert_same(found, other.buckets(name, first=first, last=last, columns=columns))


@pytest.fixture
def whole() -> History:
    history = History()
    history.append("steps", between(1, 5000))
    return history


@pytest.mark.parametrize("size", [1, 7, 16, 100, 1333])
def test_rows_that_come_in_pieces_are_the_same_as_rows_that_come_together(whole: History, size: int) -> None:
    if size == 1:
        pieces = [(first, first) for first in range(4801, 5001)]
        history = History()
        history.append("steps", between(1, 4800))
    else:
        pieces = [(first, first + size - 1) for first in range(1, 5001, size)]
        history = History()
    for first, last in pieces:
        history.append("steps", between(first, last))

    same(history, whole)


@pytest.mark.parametrize("size", [61, 160, 2500])
def test_rows_read_newest_first_are_the_same_as_rows_that_come_together(whole: History, size: int) -> None:
    history = History()
    history.clear(room_before={"steps": 5000})
    ends = range(4000, 0, -size)
    for end in ends:
        history.prepend("steps", between(max(1, end - size + 1), end), loading=0.5)
        if end == ends[len(ends) // 2]:
            history.append("steps", between(4001, 5000))

    same(history, whole)


def test_superseded_rows_are_gone_and_the_new_ones_take_their_place(whole: History) -> None:
    whole.cut(1234)
    assert whole.last_step == 1234
    whole.append("steps", rows_of({"loss": dict.fromkeys(range(1235, 1300), 2.0)}))
    expected = {step: value for step, value in METRICS["loss"].items() if step <= 1234}
    expected |= dict.fromkeys(range(1235, 1300), 2.0)

    assert_same(whole.buckets("loss", first=1, last=1400, columns=50), brute_buckets(expected, 1, 1400, 50))
    assert whole.at("late", 1299) is None and whole.at("share", 1299) == 1230.0


def test_a_row_at_a_step_that_is_held_replaces_it() -> None:
    history = History()
    history.append("validations", rows_of({"val/miou": {100: 0.5, 200: 0.25}}))
    history.append("validations", rows_of({"val/miou": {200: 0.75}}))

    assert history.rows("val/miou", 0, 999)[1].tolist() == [0.5, 0.75]


def test_absent_is_not_nan() -> None:
    history = History()
    history.append("steps", rows_of({"loss": {1: 1.0, 2: 2.0, 3: 3.0}, "share": {2: math.nan}}))
    found = history.buckets("share", first=1, last=4, columns=3)

    assert found.nan_C.tolist() == [False, True, False]
    assert history.non_finite("share").tolist() == [2]
    assert math.isnan(history.at("share", 3) or 0.0) and history.at("share", 1) is None


def test_a_nan_that_looks_like_our_mark_for_absent_is_still_a_nan() -> None:
    odd = np.array([[0x7FC00ABE]], np.uint32).view(np.float32)
    history = History()
    history.append("steps", Rows(np.array([5]), (RowBlock(1, ("loss",), np.array([0]), odd),)))

    assert history.non_finite("loss").tolist() == [5]


def test_a_sparse_metric_reads_as_its_last_value_before_the_step(whole: History) -> None:
    history = whole
    history.append("validations", rows_of({"val/miou": {100: 0.5, 4900: 0.6}}))

    assert history.at("val/miou", 4899) == 0.5 and history.at("val/miou", 99) is None
    assert history.newest("val/miou") == pytest.approx(0.6)
    assert history.at("share", 4999) == 4990.0 and history.at("late", 2999) is None
    assert history.last_step == 5000


def test_every_step_that_is_not_finite_is_kept(whole: History) -> None:
    expected = [step for step, value in METRICS["loss"].items() if not math.isfinite(value)]

    assert len(expected) > 100
    assert whole.non_finite("loss").tolist() == expected


def test_metrics_are_named_in_the_order_of_their_first_layout() -> None:
    old, new = ("loss", "lr"), ("loss", "extra", "lr")
    history = History()
    history.clear(room_before={"steps": 16})
    row = np.array([0])
    history.prepend("steps", Rows(np.array([9]), (RowBlock(2, new, row, np.ones((1, 3), "f4")),)), loading=0.5)
    assert history.names == ("loss", "extra", "lr")
    history.prepend("steps", Rows(np.array([8]), (RowBlock(1, old, row, np.ones((1, 2), "f4")),)), loading=1.0)

    assert history.names == ("loss", "lr", "extra")
    assert history.at("extra", 8) is None and history.at("extra", 9) == 1.0


def test_more_metrics_than_were_expected_find_room() -> None:
    metrics = {f"m/{number:03}": {step: float(number + step) for step in range(1, 200)} for number in range(150)}
    history = History()
    history.append("steps", rows_of({"m/000": metrics["m/000"]}))
    history.append("steps", rows_of({name: {200: -1.0} for name in metrics}))

    assert len(history.names) == 150
    assert history.at("m/000", 199) == 199.0 and history.at("m/149", 199) is None and history.at("m/149", 200) == -1.0


def test_every_change_raises_the_version() -> None:
    history = History()
    versions = [history.version]
    for change in (
        lambda: history.append("steps", between(1, 10)),
        lambda: history.append("validations", rows_of({"val/miou": {5: 0.5}})),
        lambda: history.cut(4),
        history.clear,
    ):
        change()
        versions.append(history.version)

    assert versions == sorted(set(versions))
    assert (history.first_step, history.last_step, history.names) == (0, 0, ())
