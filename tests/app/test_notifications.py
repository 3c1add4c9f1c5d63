"""Bell and desktop notifications: only the requested ones, with no control characters from foreign text."""

from __future__ import annotations

import pytest

from cockpit.app.controllers.notifications import escape_of, notification
from cockpit.preferences.settings import Settings
from cockpit.session.incidents.incidents import incidents_of
from cockpit.session.update import SessionUpdate
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.events import Status
from engine.protocol.task_spec import NO_SPEC

ALERT = e.AlertRaised("spike \x1b]0;owned\x07; twice", "loss", "lower the rate")


def entry(event: e.Event, number: int = 1) -> Entry:
    return Entry(number, 0.0, 0, 3, "engine", None, Status.NOTED, "", event)


def update(*events: e.Event) -> SessionUpdate:
    """The result of one poll: these events, and the incidents that began with them."""
    entries = tuple(entry(event, number) for number, event in enumerate(events, start=1))
    return SessionUpdate(entries=entries, began=incidents_of(entries))


@pytest.fixture(autouse=True)
def no_tmux(monkeypatch):
    monkeypatch.delenv("TMUX", raising=False)


def test_nobody_is_told_who_did_not_ask():
    assert escape_of(update(ALERT), Settings(), "run", NO_SPEC) == ""


def test_only_alerts_and_ends_are_told():
    settings = Settings(bell=True)
    assert escape_of(update(ALERT), settings, "run", NO_SPEC) == "\a"
    assert escape_of(update(e.RunFinished("complete", 1.0)), settings, "run", NO_SPEC) == "\a"
    assert escape_of(update(e.RunFailed("out of memory")), settings, "run", NO_SPEC) == "\a"
    assert escape_of(update(e.EpochCompleted(0, 1.0, 1.0)), settings, "run", NO_SPEC) == ""


def test_an_incident_rings_once_however_many_alerts_it_grows_by():
    modules = [e.AlertRaised("dead module", "no gradient", module=name) for name in ("gate", "unet", "shared")]
    assert escape_of(update(*modules), Settings(bell=True), "run", NO_SPEC) == "\a"


@pytest.mark.parametrize(("kind", "head"), [("osc9", "\x1b]9;"), ("osc777", "\x1b]777;notify;Training Cockpit;")])
def test_a_text_cannot_end_its_own_sequence(kind, head):
    sequence = escape_of(update(ALERT), Settings(notifications=kind), "run", NO_SPEC)
    body = sequence.removeprefix(head).removesuffix("\x1b\\")
    assert sequence == head + body + "\x1b\\"
    assert body.isprintable() and ";" not in body and "\\x1b]0" in body


def test_tmux_is_asked_to_pass_it_on(monkeypatch):
    monkeypatch.setenv("TMUX", "yes")
    assert notification("hello", "osc9") == "\x1bPtmux;\x1b\x1b]9;hello\x1b\x1b\\\x1b\\"
