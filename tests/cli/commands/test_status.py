"""Statuses: of a run that lives, that ended, and that died."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal import sessions
from engine.journal.disk.new_run import create_run
from engine.journal.writer import JournalWriter
from engine.protocol import events as e
from engine.protocol.events import Activity
from tests.cli.conftest import Call
from tests.person_state import person_state
from tests.recorded import first_line, start_program, writing

DIES = """
import os, sys
from pathlib import Path
from engine.journal.writer import JournalWriter
from engine.protocol.events import Activity
from engine.protocol.state import RunState
writer = JournalWriter(Path(sys.argv[1]))
writer.start()
writer.record_state(RunState("dead", activity=Activity.RUNNING, step=12))
assert writer.flush()
print("going", flush=True)
os._exit(9)
"""

RUNNING = person_state(
    "live",
    activity=Activity.RUNNING,
    step=12,
    epoch=1,
    total_steps=100,
    lr=5e-6,
    phase=2,
    loss=1.5,
    grad_norm=math.inf,
    score=0.25,
    refinements=frozenset({"subpixel_conv", "boundary_refinement"}),
    loss_weights={"dice": 0.5},
    device="cpu",
    samples_per_second=10.5,
    last_checkpoint="step-00000010.pt",
)


def status_of(call: Call, *words: str) -> dict[str, object]:
    code, printed = call("status", *words, "--json")
    assert code == 0
    return json.loads(printed, parse_constant=pytest.fail)


def died(runs_dir: Path) -> int:
    """A run whose process went without a word; its number."""
    with start_program(DIES, create_run(runs_dir, "dead")) as program:
        assert first_line(program) == "going"
        program.wait()
    return program.pid


def test_a_running_run_tells_every_promised_field(call: Call, live: JournalWriter) -> None:
    live.record_state(RUNNING)
    live.flush()
    status = status_of(call, "live")
    assert list(status)[:2] == ["run", "state"]
    promised = {
        "run": "live",
        "state": "running",
        "phase": 2,
        "epoch": 1,
        "step": 12,
        "total_steps": 100,
        "lr": 5e-6,
        "loss": 1.5,
        "grad_norm": "Infinity",
        "score": 0.25,
        "skipped_steps": 0,
        "clamp_hits": 0,
        "alerts": 0,
        "device": "cpu",
        "samples_per_second": 10.5,
        "last_checkpoint": "step-00000010.pt",
    }
    assert {key: status[key] for key in promised} == promised
    assert (status["alive"], status["pid"], status["reason"]) == (True, os.getpid(), "")
    assert status["refinements"] == ["boundary_refinement", "subpixel_conv"]
    assert status["best_score"] is None
    assert isinstance(status["heartbeat_age"], float)
    assert status["heartbeat_age"] < 5


def test_a_run_without_a_state_is_starting(call: Call, live: JournalWriter) -> None:
    status = status_of(call)
    assert (status["run"], status["state"], status["loss"], status["alive"]) == ("live", "starting", None, True)


def test_a_run_that_died_has_failed_and_says_of_what(call: Call, runs_dir: Path) -> None:
    pid = died(runs_dir)
    status = status_of(call, "dead")
    assert (status["state"], status["alive"], status["step"]) == ("failed", False, 12)
    assert status["reason"] == f"process {pid} is gone without a word"


def test_a_silent_process_keeps_its_state(call: Call, live: JournalWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    live.record_state(RUNNING)
    live.flush()
    monkeypatch.setattr(sessions, "STALE_SECONDS", -1.0)
    status = status_of(call)
    assert (status["state"], status["alive"]) == ("running", False)
    assert str(status["reason"]).startswith(f"process {os.getpid()} has been silent for ")


def test_a_process_that_left_in_the_middle_has_failed(call: Call, runs_dir: Path) -> None:
    with writing(create_run(runs_dir, "left")) as writer:
        writer.record_state(RUNNING)
    status = status_of(call)
    assert (status["state"], status["alive"]) == ("failed", False)
    assert status["reason"] == f"process {os.getpid()} left without finishing the run"


@pytest.mark.parametrize(
    ("activity", "event", "reason"),
    [
        (Activity.FINISHED, e.RunFinished("all epochs done", 3.0), "all epochs done"),
        (Activity.FAILED, e.RunFailed("ValueError: boom\x1b"), "ValueError: boom\x1b"),
        (Activity.FINISHED, e.NoteAdded("no ending recorded"), ""),
    ],
)
def test_a_run_that_ended_says_how(call: Call, runs_dir: Path, activity: Activity, event: e.Event, reason: str) -> None:
    with writing(create_run(runs_dir, "over")) as writer:
        writer.record_state(person_state("over", activity=activity))
        writer.record_event(3, event)
    status = status_of(call)
    assert (status["state"], status["reason"], status["alive"]) == (activity.value, reason, False)


def test_a_run_is_called_what_its_directory_is_called(call: Call, runs_dir: Path) -> None:
    with writing(create_run(runs_dir, "copy")) as writer:
        writer.record_state(person_state("original"))
    assert status_of(call)["run"] == "copy"


def test_people_read_where_it_is_and_what_can_be_done_in_80_columns(
    call: Call, live: JournalWriter, monkeypatch: pytest.MonkeyPatch, runs_dir: Path
) -> None:
    monkeypatch.chdir(runs_dir.parent)
    live.record_state(RUNNING)
    live.record_event(9, e.AlertRaised("spike", "the loss jumped and jumped " * 10, "lower the rate " * 10))
    live.flush()
    code, printed = call("status", "live", "--runs-dir", "runs")
    lines = printed.splitlines()
    assert code == 0 and max(map(len, lines)) <= 80
    assert lines[0].startswith(f"live: running, process {os.getpid()}, heard from 0 s ago; started")
    assert "12 of 100 steps, in epoch 2, phase 2" in " ".join(printed.split())
    assert "last loss 1.5, gradient norm Inf" in printed and "alerts: 1" in printed
    assert "  open its screen: python main.py attach live" in lines
    assert "  steer it: python main.py send live pause" in lines
    assert "  watch it: python main.py events live --follow" in lines
    live.record_state(replace(RUNNING, activity=Activity.PAUSED))
    live.flush()
    assert "  steer it: python main.py send live resume" in call("status", "live", "--runs-dir", "runs")[1]


def test_a_run_that_is_over_says_how_to_go_on(call: Call, runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs_dir.parent)
    with writing(create_run(runs_dir, "over")) as writer:
        writer.record_state(person_state("over", activity=Activity.FINISHED, last_checkpoint="step-00000010.pt"))
        writer.record_event(3, e.RunFinished("complete", 65.0))
    _, printed = call("status", "over", "--runs-dir", "runs")
    lines = printed.splitlines()
    assert lines[0].startswith("over: complete after 1 min 05 s; started 20")
    assert "  to go on: python main.py --resume over" in lines
    assert "  what happened: python main.py events over --tail 20" in lines
    assert not any("send" in line or "attach" in line for line in lines)


def test_what_comes_from_outside_moves_no_cursor(call: Call, live: JournalWriter) -> None:
    live.record_state(person_state("live", device="cpu\n\x1b[2J", loss=math.nan, doing="\x1b[2J"))
    live.record_event(3, e.AlertRaised("spike\x1b", "a\r\n\x1b[2J"))
    live.flush()
    code, printed = call("status")
    assert code == 0
    assert all(line.isprintable() for line in printed.splitlines())
    assert "cpu\\n\\x1b[2J" in printed and "last loss NaN" in printed


def test_a_run_that_is_not_there_is_named(call: Call, live: JournalWriter) -> None:
    with pytest.raises(UserError, match=r"there is no run 'lvie' in .*: did you mean 'live'"):
        call("status", "lvie")


def test_runs_are_listed_with_their_states(call: Call, runs_dir: Path, live: JournalWriter) -> None:
    died(runs_dir)
    broken = create_run(runs_dir, "broken")
    (broken / "run.sqlite").write_text("no database at all, but long enough to be looked at " * 50)
    live.record_state(RUNNING)
    live.flush()
    code, printed = call("runs")
    assert code == 0
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines()}
    assert rows["live"][:4] == ["running", "12", "100", "2"]
    assert rows["dead"][:2] == ["failed", "12"]
    assert rows["broken"][0] == "unreadable"
    assert f"attach live --runs-dir {runs_dir}\n" in printed and printed.count("attach") == 1
    code, printed = call("runs", "--json")
    assert {status["run"]: status["state"] for status in json.loads(printed)} == {
        "live": "running",
        "dead": "failed",
        "broken": "unreadable",
    }


def test_no_runs_is_said_in_words_or_as_an_empty_array(call: Call, runs_dir: Path) -> None:
    assert call("runs") == (0, f"no runs in {runs_dir} yet\n")
    assert call("runs", "--json") == (0, "[]\n")


def test_a_best_score_is_listed(call: Call, live: JournalWriter) -> None:
    live.record_state(person_state("live", best_score=0.5123456))
    live.flush()
    assert "0.5123" in call("runs")[1]


def test_a_reader_that_closes_the_pipe_early_ends_it_quietly(runs_dir: Path, live: JournalWriter) -> None:
    names = tuple(f"metric-{index}" for index in range(50))
    for step in range(2000):
        live.record_step(step, 0.1, names, [1.0] * 50)
    live.flush()
    source = (
        "import sys; from cockpit.cli.arguments import parse_arguments;"
        "from cockpit.cli.dispatch import run_subcommand;"
        "sys.exit(run_subcommand(parse_arguments(sys.argv[1:])))"
    )
    with start_program(source, "metrics", "live", "--csv", "--runs-dir", runs_dir) as program:
        assert first_line(program).startswith("step,metric-0")
        assert program.stdout is not None
        program.stdout.close()
        assert program.stderr is not None
        assert program.stderr.read() == ""
        assert program.wait(30) == 0


def test_characters_that_the_terminal_lacks_are_written_out(runs_dir: Path, live: JournalWriter) -> None:
    live.record_event(1, e.NoteAdded("Größe 人 \udcff"))
    live.flush()
    source = (
        "import sys; from cockpit.cli.arguments import parse_arguments;"
        "from cockpit.cli.dispatch import run_subcommand;"
        "sys.exit(run_subcommand(parse_arguments(sys.argv[1:])))"
    )
    found = subprocess.run(
        [sys.executable, "-c", source, "events", "live", "--runs-dir", str(runs_dir)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "note: Gr\\xf6\\xdfe \\u4eba \\udcff" in found.stdout
