"""What happened, for people and for programs."""

from __future__ import annotations

import json

import pytest

from cockpit.cli.events import entry_line
from engine.journal.reader import Entry
from engine.journal.writer import JournalWriter
from engine.protocol import events as e
from engine.protocol.events import Status
from tests.cli.conftest import Call


def test_each_event_is_one_line(call: Call, live: JournalWriter) -> None:
    live.record_event(3, e.LrScaled(1e-3, 5e-4, 0.5), status=Status.APPLIED, actor="cli:me", command_id=1)
    live.record_event(
        4, e.LrSet(5e-4, 1e-2, 0.1), status=Status.CLAMPED, reason="upper bound", actor="guardian", command_id=2
    )
    live.record_event(5, e.SampleRejected("a.jpg", "truncated"))
    live.flush()
    code, printed = call("events")
    assert code == 0
    lines = printed.splitlines()
    assert len(lines) == 3
    assert "step       3  applied: learning rate 1.00e-03 -> 5.00e-04 [cli:me]" in lines[0]
    assert "clamped: learning rate 5.00e-04 -> 1.00e-02, set by hand (upper bound) [guardian]" in lines[1]
    assert lines[2].endswith("step       5  cannot use a.jpg: truncated")


def test_nothing_from_outside_reaches_the_terminal_raw() -> None:
    hostile = "\x1b[2J\n\r[red]\u202e\udcff"
    entry = Entry(1, 0.0, 0, 1, hostile, 1, Status.REFUSED, hostile, e.NoteAdded(hostile))
    line = entry_line(entry)
    assert line.isprintable()
    assert line.count("\\x1b[2J\\n\\r[red]\\u202e\\udcff") == 3


def test_json_keeps_everything_and_is_strict(call: Call, live: JournalWriter) -> None:
    live.record_event(3, e.AlertRaised("spike", "x\x1b", "lower it"), actor="guardian")
    live.record_event(
        4, e.LrScaled(float("inf"), 5e-4, 0.5), status=Status.APPLIED, actor="cli:me", command_id=1, reason="why"
    )
    live.flush()
    code, printed = call("events", "--json")
    assert code == 0
    first, second = json.loads(printed, parse_constant=pytest.fail)
    assert (first["kind"], first["event"]["kind"], first["event"]["message"]) == ("alert_raised", "spike", "x\x1b")
    assert (first["status"], first["command_id"]) == ("noted", None)
    del second["time"]
    assert first["alert"] == 1
    assert second == {
        "id": 2,
        "branch": 0,
        "step": 4,
        "actor": "cli:me",
        "command_id": 1,
        "status": "applied",
        "reason": "why",
        "kind": "lr_scaled",
        "event": {"before": "Infinity", "after": 5e-4, "scale": 0.5},
        "alert": None,
    }


def test_a_run_without_events_prints_nothing(call: Call, live: JournalWriter) -> None:
    assert call("events") == (0, "")
    assert call("events", "--json") == (0, "[]\n")
