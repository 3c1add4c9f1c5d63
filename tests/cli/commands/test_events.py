"""What happened, for people and for programs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cockpit.cli.commands.reading.events import entry_line
from engine.errors import UserError
from engine.journal.disk.new_run import create_run
from engine.journal.reader import Entry
from engine.journal.store import JOURNAL_FILE
from engine.journal.writer import JournalWriter
from engine.protocol import events as e
from engine.protocol.events import Status
from engine.protocol.state import RunState
from engine.protocol.task_spec import NO_SPEC, Metric, TaskSpec, Term
from engine.runtime.recorder import RunRecorder
from tests.cli.conftest import Call
from tests.recorded import writing


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
    line = entry_line(entry, NO_SPEC)
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


def test_kinds_and_the_newest_few_are_chosen(call: Call, live: JournalWriter) -> None:
    for number in range(4):
        live.record_event(number, e.NoteAdded(f"note {number}"))
        live.record_event(number, e.SampleRejected(f"{number}.jpg", "truncated"))
    live.flush()
    _, printed = call("events", "--kind", "note_added", "--tail", "2")
    assert [line.split("note: ")[1] for line in printed.splitlines()] == ["note 2", "note 3"]
    _, printed = call("events", "--kind", "note_added,sample_rejected", "--tail", "3", "--json")
    assert [entry["kind"] for entry in json.loads(printed)] == ["sample_rejected", "note_added", "sample_rejected"]


def test_a_kind_that_there_is_not_is_named_with_the_nearest(call: Call, live: JournalWriter) -> None:
    with pytest.raises(UserError, match="there is no kind of event 'alert_raise': did you mean 'alert_raised'"):
        call("events", "--kind", "alert_raise")
    with pytest.raises(UserError, match="the list of kinds is empty"):
        call("events", "--kind", ",")


def _follow(runs_dir: Path, *more: str) -> subprocess.Popen[str]:
    source = "import sys; from main import main; sys.exit(main(sys.argv[1:]))"
    words = ["events", "live", "--runs-dir", str(runs_dir), "--follow", *more]
    return subprocess.Popen(
        [sys.executable, "-c", source, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_following_prints_what_happens_and_ends_with_the_run(runs_dir: Path, more: tuple[str, ...]) -> None:
    with writing(create_run(runs_dir, "live")) as writer:
        writer.record_event(1, e.NoteAdded("before"))
        writer.flush()
        program = _follow(runs_dir, *more)
        assert program.stdout is not None
        assert "before" in program.stdout.readline()
        writer.record_event(2, e.NoteAdded("meanwhile"))
        writer.flush()
        line = program.stdout.readline()
        writer.record_event(3, e.NoteAdded("last"))
    rest, _ = program.communicate(timeout=60)
    assert program.returncode == 0 and "last" in rest
    assert json.loads(line)["event"] == {"text": "meanwhile"} if more else line.endswith("note: meanwhile\n")


def test_following_names_metrics_by_the_spec_that_comes_later(runs_dir: Path) -> None:
    spec = TaskSpec("loop", terms=(Term("ce"),), metrics=(Metric("acc", "accuracy"),), score="acc")
    with writing(create_run(runs_dir, "live")) as writer:
        recorder = RunRecorder(RunState("live"), writer)
        recorder.record_event(e.NoteAdded("before"))
        writer.flush()
        program = _follow(runs_dir)
        assert program.stdout is not None
        assert "before" in program.stdout.readline()
        recorder.record_event(e.TaskDescribed(spec))
        recorder.record_event(e.ValidationCompleted(1.0, {"acc": 0.5}, 0.1))
        writer.flush()
        assert program.stdout.readline().endswith("task loop: loss terms ce; metrics accuracy\n")
        assert "validation: accuracy 0.5000" in program.stdout.readline()
    program.communicate(timeout=60)
    assert program.returncode == 0


def test_following_a_run_that_is_over_prints_it_and_ends(call: Call, runs_dir: Path) -> None:
    with writing(create_run(runs_dir, "over")) as writer:
        writer.record_event(1, e.NoteAdded("once"))
    code, printed = call("events", "over", "--follow")
    assert code == 0 and printed.endswith("note: once\n")


def test_an_interrupt_ends_the_following(runs_dir: Path, live: JournalWriter) -> None:
    live.record_event(1, e.NoteAdded("before"))
    live.flush()
    program = _follow(runs_dir)
    assert program.stdout is not None
    assert "before" in program.stdout.readline()
    program.send_signal(signal.SIGINT)
    assert program.communicate(timeout=60) == ("", "")
    assert program.returncode == 130


def test_following_goes_on_in_a_journal_that_its_writer_put_back(runs_dir: Path) -> None:
    path = create_run(runs_dir, "live")
    with writing(path) as writer:
        for number in range(3):
            writer.record_event(number, e.NoteAdded(f"before {number}"))
        writer.flush()
        program = _follow(runs_dir)
        assert program.stdout is not None
        for number in range(3):
            assert f"before {number}" in program.stdout.readline()
        writer.record_event(3, e.NoteAdded("seen"))
        writer.flush()
        assert "seen" in program.stdout.readline()
        (path / JOURNAL_FILE).unlink()
        writer.record_event(4, e.NoteAdded("after"))
        writer.flush()
        assert "after" in program.stdout.readline()
    rest, _ = program.communicate(timeout=60)
    assert program.returncode == 0 and rest == ""


def test_a_time_without_news_is_refused_if_nothing_is_followed(call: Call, live: JournalWriter) -> None:
    with pytest.raises(UserError, match="--idle-timeout has no effect without --follow"):
        call("events", "live", "--idle-timeout", "5")


def test_following_ends_after_a_time_without_news(call: Call, live: JournalWriter) -> None:
    live.record_event(1, e.NoteAdded("before"))
    live.flush()
    code, printed = call("events", "live", "--follow", "--json", "--idle-timeout", "0.1")
    assert (code, json.loads(printed)["event"]) == (3, {"text": "before"})
