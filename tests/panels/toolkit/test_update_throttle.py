"""Metric changes are delivered together after a delay, events immediately, and nothing is lost."""

from __future__ import annotations

from typing import cast

from cockpit.session.update import SessionUpdate
from cockpit.ui.panels.toolkit.update_throttle import UpdateThrottle
from engine.journal.reader import Entry
from tests.console.scripted import FakeClock

STEPS, STATE = SessionUpdate(steps=True), SessionUpdate(state=True)
ENTRY = cast(Entry, object())


def held(seconds: float = 1.0) -> tuple[UpdateThrottle, FakeClock]:
    clock = FakeClock()
    return UpdateThrottle(seconds, clock=clock), clock


def test_drift_waits_and_comes_together():
    update, clock = held()
    assert update.update(STEPS) == STEPS
    clock.advance(0.5)
    assert not update.update(STEPS)
    assert not update.update(STATE)
    clock.advance(0.5)
    assert update.update(SessionUpdate()) == SessionUpdate(state=True, steps=True)
    assert not update.update(SessionUpdate())


def test_what_happened_comes_at_once_with_what_was_held():
    update, _ = held()
    update.update(STEPS)
    update.update(STATE)
    assert update.update(SessionUpdate(entries=(ENTRY,))) == SessionUpdate(state=True, entries=(ENTRY,))


def test_what_is_waited_for_comes_at_once():
    update, _ = held()
    update.update(STEPS)
    assert update.update(STATE, at_once=True) == STATE
