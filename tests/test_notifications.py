"""Bell and desktop notifications: only what was asked for, and nothing that a text could smuggle in."""

from __future__ import annotations

import pytest

from cockpit.notifications import escape_of, notification
from cockpit.settings import Settings
from engine.journal.reader import Entry
from engine.protocol import events as e
from engine.protocol.events import Status

ALERT = e.AlertRaised("spike", "loss \x1b]0;owned\x07; twice", "lower the rate")


def entry(event: e.Event) -> Entry:
    return Entry(
        id=1, time=0.0, branch=0, step=3, actor="engine", command_id=None, status=Status.NOTED, reason="", event=event
    )


@pytest.fixture(autouse=True)
def no_tmux(monkeypatch):
    monkeypatch.delenv("TMUX", raising=False)


def test_nobody_is_told_who_did_not_ask():
    assert escape_of(entry(ALERT), Settings(), "run") == ""


def test_only_alerts_and_ends_are_told():
    settings = Settings(bell=True)
    assert escape_of(entry(ALERT), settings, "run") == "\a"
    assert escape_of(entry(e.RunFinished("complete", 1.0)), settings, "run") == "\a"
    assert escape_of(entry(e.RunFailed("out of memory")), settings, "run") == "\a"
    assert escape_of(entry(e.EpochCompleted(0, 1.0, 1.0)), settings, "run") == ""


@pytest.mark.parametrize(("kind", "head"), [("osc9", "\x1b]9;"), ("osc777", "\x1b]777;notify;Training Cockpit;")])
def test_a_text_cannot_end_its_own_sequence(kind, head):
    sequence = escape_of(entry(ALERT), Settings(notifications=kind), "run")
    body = sequence.removeprefix(head).removesuffix("\x1b\\")
    assert sequence == head + body + "\x1b\\"
    assert body.isprintable() and ";" not in body and "\\x1b]0" in body


def test_tmux_is_asked_to_pass_it_on(monkeypatch):
    monkeypatch.setenv("TMUX", "yes")
    assert notification("hello", "osc9") == "\x1bPtmux;\x1b\x1b]9;hello\x1b\x1b\\\x1b\\"
