"""The screen's share of a core is bounded, and what is waited for does not wait."""

from __future__ import annotations

import pytest

from cockpit.session.poll_budget import CPU_SHARE, LONGEST, PollBudget
from tests.console.scripted import FakeClock

SAVED_UP = CPU_SHARE * LONGEST


def paced() -> tuple[PollBudget, FakeClock, FakeClock]:
    clock, cpu = FakeClock(), FakeClock()
    return PollBudget(clock=clock, cpu=cpu), clock, cpu


def test_a_cheap_look_may_be_followed_at_once():
    pace, clock, _ = paced()
    assert pace.is_due()
    clock.advance(0.1)
    assert pace.is_due()


def test_a_dear_look_is_waited_for_until_its_share_has_come_down():
    pace, clock, cpu = paced()
    assert pace.is_due()
    cpu.advance(SAVED_UP + 0.02)
    assert not pace.is_due()
    clock.advance(0.02 / CPU_SHARE - 0.01)
    assert not pace.is_due()
    clock.advance(0.02)
    assert pace.is_due()


def test_looks_in_a_row_take_their_share_and_no_more():
    pace, clock, cpu = paced()
    began = cpu.now
    for _ in range(1000):
        if pace.is_due():
            cpu.advance(0.02)
        clock.advance(0.1)
    assert (cpu.now - began - SAVED_UP) / 100 == pytest.approx(CPU_SHARE, rel=0.05)


def test_a_share_is_saved_up_for_a_second_at_most():
    pace, clock, cpu = paced()
    clock.advance(100.0)
    assert pace.is_due()
    cpu.advance(SAVED_UP + 0.001)
    assert not pace.is_due()


def test_what_is_owed_is_forgotten_after_a_second():
    pace, clock, cpu = paced()
    assert pace.is_due()
    cpu.advance(100.0)
    assert not pace.is_due()
    clock.advance(LONGEST)
    assert pace.is_due()
    clock.advance(0.1)
    assert pace.is_due()


def test_what_is_drawn_between_looks_leaves_time_for_the_next_one():
    pace, _, cpu = paced()
    assert pace.has_time()
    cpu.advance(SAVED_UP - 0.001)
    assert not pace.has_time()
    assert pace.is_due()


def test_no_look_is_so_dear_that_the_screen_stands_still():
    pace, clock, cpu = paced()
    assert pace.is_due()
    cpu.advance(100.0)
    clock.advance(LONGEST)
    assert pace.is_due()


def test_what_is_urgent_does_not_wait():
    pace, clock, cpu = paced()
    assert pace.is_due()
    cpu.advance(0.07)
    clock.advance(0.1)
    assert not pace.is_due()
    assert pace.is_due(urgent=True)
