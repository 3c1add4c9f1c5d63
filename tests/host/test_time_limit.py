"""The time limit: its forms, and when the end of a run begins."""

from __future__ import annotations

import time

import pytest

from engine.runtime.host.time_limit import SLURM_END, TimeLimit, parse_seconds, time_limit


class _Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3h55m", 14100),
        ("90m", 5400),
        ("45s", 45),
        ("1d2h", 93600),
        ("1.5h", 5400),
        ("1-02:30:00", 95400),
        ("1-02:30", 95400),
        ("02:30:00", 9000),
        ("30:15", 1815),
        (" 2H ", 7200),
    ],
)
def test_a_time_is_read_in_units_and_as_slurm_writes_it(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "0s", "-5m", "5m3h", "1:2:3:4", "nan", "1e3s", "400d", "3 h", "soon"])
def test_what_is_no_time_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match="write 3h55m, 90m, 45s"):
        parse_seconds(text)


def test_the_end_begins_before_the_limit_by_what_steps_and_checkpoints_take() -> None:
    clock = _Clock()
    limit = TimeLimit(1000, "limit", clock=clock)
    limit.checkpoint_seconds = 7.0
    for _ in range(3):
        assert not limit.is_due()
        clock.now += 10
    assert limit.reserve == pytest.approx(2 * 10 * 0.999**0 + 2 * 7 + 30, rel=1e-2)
    clock.now = 100 + 1000 - limit.reserve - 0.5
    assert limit.left == pytest.approx(0.5)
    limit._last_look = clock.now - 1
    assert not limit.is_due()
    clock.now += 1
    assert limit.is_due()


def test_one_slow_step_is_forgotten_after_thousands_of_fast_ones() -> None:
    clock = _Clock()
    limit = TimeLimit(100_000, "limit", clock=clock)
    limit.is_due()
    clock.now += 60
    limit.is_due()
    assert limit.reserve > 120
    for _ in range(4000):
        clock.now += 0.1
        limit.is_due()
        limit.forget_a_little()
    assert limit.reserve < 40


def test_looks_without_a_step_do_not_make_a_slow_step_forgotten_and_a_pause_is_no_step() -> None:
    """A pause looks fifty times a second, and may last for hours."""
    clock = _Clock()
    limit = TimeLimit(100_000, "limit", clock=clock)
    limit.is_due()
    clock.now += 60
    limit.is_due()
    known = limit.reserve
    for _ in range(10_000):
        limit.skip()
        clock.now += 0.02
        limit.is_due()
    limit.skip()
    clock.now += 3600
    limit.is_due()
    assert limit.reserve == known


def test_a_short_limit_is_announced_a_tenth_ahead_and_a_long_one_five_minutes() -> None:
    clock = _Clock()
    short, long = TimeLimit(100, "short", clock=clock), TimeLimit(36000, "long", clock=clock)
    short.checkpoint_seconds = long.checkpoint_seconds = 0
    assert not short.is_near and not long.is_near
    clock.now = 100 + 100 - 5 - 10.5
    assert not short.is_near
    clock.now += 1
    assert short.is_near and not long.is_near
    clock.now = 100 + 36000 - 30 - 299
    assert long.is_near


def test_the_end_is_announced_one_step_ahead_if_a_step_is_longer_than_the_usual_time() -> None:
    """A boundary later, the end would already be due."""
    clock = _Clock()
    limit = TimeLimit(3600, "limit", clock=clock)
    limit.checkpoint_seconds = 0
    announced: list[float] = []
    while not limit.is_due():
        if limit.is_near:
            announced.append(limit.left)
        clock.now += 700
    assert announced and 0 < announced[0] <= 700 + 300


def test_slurm_tells_the_limit_unless_an_option_does() -> None:
    soon = str(int(time.time()) + 3600)
    found = time_limit("", {SLURM_END: soon})
    assert found is not None and found.said == SLURM_END
    assert 3500 < found.left + found.reserve <= 3600
    assert time_limit("none", {SLURM_END: soon}) is None
    began = time.monotonic()
    named = time_limit("90m", {SLURM_END: soon})
    assert named is not None and named.said == "--time-limit 90m"
    whole = named.left + named.reserve
    assert 5400 - (time.monotonic() - began) - 1e-6 <= whole <= 5400 + 1e-6


@pytest.mark.parametrize("value", ["", "Unknown", "12", "-1", "9" * 30])
def test_a_variable_that_is_no_time_ahead_is_no_limit(value: str) -> None:
    assert time_limit("", {SLURM_END: value}) is None
    assert time_limit("", {}) is None
