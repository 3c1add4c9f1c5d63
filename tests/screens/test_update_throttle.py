"""News that only drifts is given out together after a while, what happened at once, and nothing is lost."""

from __future__ import annotations

from typing import cast

from cockpit.screens.update_throttle import HeldNews
from cockpit.session.session import News
from engine.journal.reader import Entry
from tests.console.scripted import FakeClock

STEPS, STATE = News(steps=True), News(state=True)
ENTRY = cast(Entry, object())


def held(seconds: float = 1.0) -> tuple[HeldNews, FakeClock]:
    clock = FakeClock()
    return HeldNews(seconds, clock=clock), clock


def test_drift_waits_and_comes_together():
    news, clock = held()
    assert news.give(STEPS) == STEPS
    clock.advance(0.5)
    assert not news.give(STEPS)
    assert not news.give(STATE)
    clock.advance(0.5)
    assert news.give(News()) == News(state=True, steps=True)
    assert not news.give(News())


def test_what_happened_comes_at_once_with_what_was_held():
    news, _ = held()
    news.give(STEPS)
    news.give(STATE)
    assert news.give(News(entries=(ENTRY,))) == News(state=True, entries=(ENTRY,))


def test_what_is_waited_for_comes_at_once():
    news, _ = held()
    news.give(STEPS)
    assert news.give(STATE, at_once=True) == STATE
