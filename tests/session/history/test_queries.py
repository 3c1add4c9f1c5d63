"""Columns of a history against plain Python, for every kind of number, any window, and however the rows arrived."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cockpit.session.history.history import History
from tests.session.brute import Points, assert_same, brute_buckets, points_at, rows_of, wild

SHAPES: dict[str, dict[int, float]] = {
    "one point": {7: 0.5},
    "two points": {7: 0.5, 8: -0.5},
    "constant": dict.fromkeys(range(1, 500), 3.25),
    "1e-12": {step: 1e-12 * (1 + step % 5) for step in range(1, 500)},
    "1e12": {step: 1e12 * (1 + step % 5) for step in range(1, 500)},
    "only NaN": dict.fromkeys(range(1, 200), math.nan),
    "only infinite": {step: math.inf if step % 2 else -math.inf for step in range(1, 200)},
    "negative": {step: -float(step) for step in range(1, 300)},
    "with zero": {step: float(step % 3 - 1) for step in range(1, 300)},
    "one spike": {step: 1e9 if step == 1777 else 0.5 for step in range(1, 5000)},
    "sparse": {step: math.sin(step) for step in range(500, 20_000, 500)},
    "wild": points_at(range(1, 6001), wild(6000, 1)),
    "far away": points_at(range(10**12, 10**12 + 3000), wild(3000, 2)),
    "gaps": points_at(list(range(1, 4000, 3)) + list(range(50_000, 50_100)), wild(1433, 3)),
}

WINDOWS = [
    (1.0, 6001.0, 160),
    (0.5, 777.25, 33),
    (-100.0, 12_000.0, 80),
    (1770.0, 1785.0, 300),
    (3000.0, 3001.0, 7),
    (499.0, 20_500.0, 1),
    (1e12 - 5, 1e12 + 4000, 101),
]


def held(points: Points, name: str = "loss") -> History:
    history = History()
    history.append("steps", rows_of({name: points}))
    return history


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_columns_hold_what_plain_python_finds(shape: str, window: tuple[float, float, int]) -> None:
    points, (first, last, columns) = SHAPES[shape], window
    found = held(points).buckets("loss", first=first, last=last, columns=columns)

    assert_same(found, brute_buckets(points, first, last, columns))


@pytest.mark.parametrize("seed", range(20))
def test_random_histories_in_random_windows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.integers(1, 4, int(rng.integers(1, 4000)))) + int(rng.integers(0, 100))
    points = points_at(steps.tolist(), wild(steps.size, seed))
    history = held(points)
    for _ in range(10):
        first = float(rng.uniform(-10, steps[-1]))
        last, columns = first + float(rng.uniform(0.1, steps[-1])), int(rng.integers(1, 400))
        found = history.buckets("loss", first=first, last=last, columns=columns)
        assert_same(found, brute_buckets(points, first, last, columns))


def test_a_history_of_many_blocks_keeps_every_extremum_at_any_zoom() -> None:
    values = wild(300_000, 5)
    history = held(points_at(range(1, values.size + 1), values))
    finite = np.isfinite(values)
    for columns in (1, 3, 160, 1000):
        found = history.buckets("loss", first=1, last=values.size + 1, columns=columns)
        edges = np.ceil(1 + np.arange(columns) * (values.size / columns) - 1e-6).astype(int) - 1
        np.testing.assert_array_equal(found.low_C, np.minimum.reduceat(np.where(finite, values, np.inf), edges))
        np.testing.assert_array_equal(found.high_C, np.maximum.reduceat(np.where(finite, values, -np.inf), edges))
        np.testing.assert_array_equal(found.nan_C, np.logical_or.reduceat(np.isnan(values), edges))
        np.testing.assert_array_equal(found.inf_C, np.logical_or.reduceat(np.isinf(values), edges))


@pytest.mark.parametrize(
    "window",
    [(5.0, 5.0, 10), (9.0, 1.0, 10), (math.nan, 5.0, 10), (1.0, math.inf, 10), (-math.inf, math.inf, 4), (1.0, 9.0, 0)],
    ids=str,
)
def test_a_window_without_width_holds_nothing(window: tuple[float, float, int]) -> None:
    first, last, columns = window
    found = held(SHAPES["constant"]).buckets("loss", first=first, last=last, columns=columns)

    assert found.low_C.shape == found.nan_C.shape == (columns,)
    assert np.isnan(found.low_C).all() and np.isnan(found.mean_C).all() and not found.nan_C.any()


def test_a_metric_that_nobody_recorded_is_empty_and_not_an_error() -> None:
    history = held(SHAPES["constant"])
    found = history.buckets("no/such", first=1, last=100, columns=5)

    assert np.isnan(found.high_C).all() and not found.inf_C.any()
    assert history.newest("no/such") is None and history.at("no/such", 5) is None
    assert history.rows("no/such", 0, 10)[0].size == 0 and history.non_finite("no/such").size == 0


def test_what_a_reader_holds_does_not_change_when_rows_arrive() -> None:
    history = held({step: 1.0 for step in range(1, 100)})
    steps, values = history.rows("loss", 1, 200)
    found = history.buckets("loss", first=1, last=200, columns=4)
    low = found.low_C.copy()
    history.append("steps", rows_of({"loss": {step: -5.0 for step in range(50, 300)}}))

    assert values.tolist() == [1.0] * 99 and steps[-1] == 99
    np.testing.assert_array_equal(found.low_C, low)
