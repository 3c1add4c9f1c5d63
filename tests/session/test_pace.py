"""Throughput and time left follow the recent past, not the whole of it."""

from __future__ import annotations

import pytest

from cockpit.session.activity.pace import Pace


def test_nothing_is_known_before_two_steps_ended() -> None:
    pace = Pace()
    assert (pace.steps_per_second(), pace.remaining(0.0, 100)) == (None, None)
    for now, step in ((0.0, 0), (30.0, 0), (31.0, 1)):
        pace.observe(now, step)
    assert pace.steps_per_second() is None


def test_the_wait_before_the_first_step_does_not_count() -> None:
    pace = Pace()
    for now, step in ((0.0, 0), (60.0, 0), (61.0, 1), (61.5, 1), (63.0, 2)):
        pace.observe(now, step)

    assert pace.steps_per_second() == pytest.approx(0.5)


def test_it_tells_when_the_counter_moved() -> None:
    pace = Pace()

    assert [pace.observe(float(now), step) for now, step in enumerate((0, 0, 1, 1, 0))] == [
        True,
        False,
        True,
        False,
        True,
    ]


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
    for now, step in ((0.0, 0), (10.0, 1), (20.0, 2)):
        pace.observe(now, step)

    assert pace.remaining(20.0, 5) == pytest.approx(30.0)
    assert pace.remaining(25.0, 5) == pytest.approx(25.0)
    assert pace.remaining(90.0, 5) == 0.0
    assert pace.remaining(20.0, 0) is None


def test_a_pause_and_a_rollback_start_it_afresh() -> None:
    pace = Pace()
    for now, step in ((0.0, 0), (1.0, 10), (2.0, 20)):
        pace.observe(now, step)
    pace.interrupt()
    assert pace.steps_per_second() is None
    for now, step in ((500.0, 20), (501.0, 21), (502.0, 26)):
        pace.observe(now, step)
    assert pace.steps_per_second() == pytest.approx(5.0)

    pace.observe(503.0, 3)
    assert pace.steps_per_second() is None
    for now, step in ((504.0, 5), (505.0, 7)):
        pace.observe(now, step)
    assert pace.steps_per_second() == pytest.approx(2.0)
