from __future__ import annotations

import numpy as np
import pytest

from cockpit.charts.columns.smoothing import STRENGTHS, smoothed, stronger


def test_nothing_is_changed_at_strength_zero() -> None:
    values = np.array([[1.0, 5.0, np.nan, 2.0]])
    np.testing.assert_array_equal(smoothed(values, 0.0), values)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_constant_stays_what_it_is_from_the_first_column_on(strength: float) -> None:
    np.testing.assert_allclose(smoothed(np.full((2, 50), 3.0), strength), 3.0)


def test_the_newest_column_is_the_usual_moving_average() -> None:
    values = np.array([[4.0, 1.0, 2.0]])
    weights = np.array([0.25, 0.5, 1.0])
    assert smoothed(values, 0.5)[0, -1] == pytest.approx((values[0] * weights).sum() / weights.sum())


def test_a_straight_line_is_not_trailed() -> None:
    line = np.arange(200.0)[None, :]
    assert smoothed(line, 0.9)[0, 100] == pytest.approx(100.0, abs=1e-3)


def test_columns_without_a_value_stay_empty_and_do_not_count() -> None:
    values = np.array([[2.0, np.nan, 2.0, np.nan]])
    np.testing.assert_allclose(smoothed(values, 0.9), values)


def test_all_strengths_can_be_reached_and_come_round() -> None:
    seen = [0.0]
    for _ in STRENGTHS:
        seen.append(stronger(seen[-1]))
    assert tuple(seen[:-1]) == STRENGTHS
    assert seen[-1] == 0.0
