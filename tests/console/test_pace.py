"""Throughput and time left follow the recent past, not the whole of it."""

from __future__ import annotations

import pytest

from cockpit.console.pace import Pace


def test_nothing_is_known_before_two_steps() -> None:
    pace = Pace()
    assert (pace.steps_per_second(), pace.remaining(0.0, 100)) == (None, None)
    pace.observe(0.0, 0)
    pace.observe(30.0, 0)
    assert pace.steps_per_second() is None


def test_the_wait_before_the_first_step_does_not_count() -> None:
    pace = Pace()
    pace.observe(0.0, 0)
    pace.observe(60.0, 0)
    pace.observe(61.0, 2)

    assert pace.steps_per_second() == pytest.approx(2.0)


def test_a_slow_start_is_forgotten() -> None:
    pace = Pace()
    for second in range(100):
        pace.observe(float(second), second)
    for second in range(300):
        pace.observe(100.0 + second, 100 + 10 * second)

    assert pace.steps_per_second() == pytest.approx(10.0, rel=0.01)


def test_steps_slower_than_the_window_still_have_a_pace() -> None:
    pace = Pace()
    for count in range(10):
        pace.observe(600.0 * count, count)

    assert pace.steps_per_second() == pytest.approx(1 / 600)


def test_the_time_left_counts_down_between_steps_and_ends_at_zero() -> None:
    pace = Pace()
    pace.observe(0.0, 0)
    pace.observe(10.0, 1)

    assert pace.remaining(10.0, 4) == pytest.approx(30.0)
    assert pace.remaining(15.0, 4) == pytest.approx(25.0)
    assert pace.remaining(90.0, 4) == 0.0
    assert pace.remaining(10.0, 0) is None


def test_a_pause_and_a_rollback_start_it_afresh() -> None:
    pace = Pace()
    pace.observe(0.0, 0)
    pace.observe(1.0, 10)
    pace.interrupt()
    pace.observe(500.0, 10)
    pace.observe(501.0, 15)
    assert pace.steps_per_second() == pytest.approx(5.0)

    pace.observe(502.0, 3)
    assert pace.steps_per_second() is None
    pace.observe(503.0, 5)
    assert pace.steps_per_second() == pytest.approx(2.0)
