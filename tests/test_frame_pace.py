"""The screen's share of a core is bounded, and what is waited for does not wait."""

from __future__ import annotations

from cockpit.frame_pace import CPU_SHARE, LONGEST, FramePace
from tests.console.scripted import FakeClock


def paced() -> tuple[FramePace, FakeClock, FakeClock]:
    clock, cpu = FakeClock(), FakeClock()
    return FramePace(clock=clock, cpu=cpu), clock, cpu


def test_a_cheap_look_may_be_followed_at_once():
    pace, clock, _ = paced()
    assert pace.is_due()
    clock.advance(0.1)
    assert pace.is_due()


def test_a_dear_look_is_waited_for_until_its_share_has_come_down():
    pace, clock, cpu = paced()
    assert pace.is_due()
    cpu.advance(0.04)
    clock.advance(0.04 / CPU_SHARE - 0.01)
    assert not pace.is_due()
    clock.advance(0.02)
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
    cpu.advance(0.05)
    clock.advance(0.1)
    assert not pace.is_due()
    assert pace.is_due(urgent=True)
