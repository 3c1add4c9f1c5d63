"""Steering from another process: outcomes, dry runs, and runs that nobody steers any more."""

from __future__ import annotations

import getpass
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.disk.new_run import create_run
from engine.journal.inbox import Inbox
from engine.journal.reader import JournalReader
from engine.journal.writer import JournalWriter
from engine.protocol.commands import Request, SetKnob, Stop
from engine.protocol.decide import decide
from engine.protocol.events import Activity
from engine.protocol.evolve import evolve
from engine.protocol.state import GateCheck, Knob
from engine.protocol.wire import refusal_of
from tests.cli.commands.test_status import died
from tests.cli.conftest import Call
from tests.person_state import person_state
from tests.recorded import writing

STATE = person_state(
    "live",
    activity=Activity.RUNNING,
    step=120,
    lr=1e-3,
    phase=1,
    refinements=frozenset({"boundary_refinement", "boundary_aware_loss"}),
    gate=(GateCheck("steps in phase", "12", "at least 100", passed=False),),
    knobs={"tau": Knob(0.7, 0.1, 2.0), "mixup": Knob(False)},
)


@pytest.fixture
def steered(live: JournalWriter) -> JournalWriter:
    """A run with a state to steer; nobody answers yet."""
    live.record_state(STATE)
    live.flush()
    return live


@contextmanager
def engine(writer: JournalWriter) -> Iterator[list[Request]]:
    """Answers commands as an engine does, on a thread; yields what arrived."""
    arrived: list[Request] = []
    over = threading.Event()

    def answer() -> None:
        state = STATE
        with closing(Inbox(writer.path)) as mailbox:
            while not over.is_set():
                for request in mailbox.poll():
                    arrived.append(request)
                    outcome = decide(state, request.command)
                    event = outcome.event or refusal_of(request.command)
                    state = evolve(state, event, state.step)
                    writer.record_state(state)
                    writer.record_event(
                        state.step,
                        event,
                        status=outcome.status,
                        reason=outcome.reason,
                        actor=request.actor,
                        command_id=request.id,
                    )
                time.sleep(0.005)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield arrived
    finally:
        over.set()
        thread.join()


def test_a_command_is_applied_and_the_outcome_printed(call: Call, steered: JournalWriter) -> None:
    with engine(steered) as arrived:
        code, printed = call("send", "live", "lower-lr", "0.5", "--wait")
    assert (code, printed) == (
        0,
        "applied at step 120: learning rate 1.00e-03 -> 5.00e-04 (before 0.001, after 0.0005)\n",
    )
    assert arrived[0].actor == f"cli:{getpass.getuser()}"
    assert json.loads(call("status", "live", "--json")[1])["lr"] == 5e-4


def test_a_clamped_command_says_to_what_and_why(call: Call, steered: JournalWriter) -> None:
    with engine(steered):
        code, printed = call("send", "live", "set-lr", "1", "--wait")
    assert code == 0
    assert printed == (
        "clamped at step 120: learning rate 1.00e-03 -> 1.00e-02, set by hand (before 0.001, after 0.01):"
        " at most x10 in one command\n"
    )


def test_a_refused_command_says_why_and_exits_with_1(call: Call, steered: JournalWriter) -> None:
    with engine(steered):
        code, printed = call("send", "live", "promote", "--wait")
        assert code == 1
        assert printed.startswith("refused at step 120: steps in phase is 12, must be at least 100")
        code, printed = call("send", "live", "promote", "--force", "--wait")
        assert code == 0
        assert "phase 1 -> 2" in printed
        assert "forced" in printed


def test_an_outcome_can_be_had_as_json(call: Call, steered: JournalWriter) -> None:
    with engine(steered):
        code, printed = call("send", "live", "lower-lr", "--wait", "--json", "--actor", "agent-7")
    outcome = json.loads(printed)
    assert code == 0
    assert (outcome["status"], outcome["actor"], outcome["step"]) == ("applied", "agent-7", 120)
    assert outcome["event"] == {"before": 1e-3, "after": 5e-4, "scale": 0.5}


def test_a_reason_travels_with_the_command(call: Call, steered: JournalWriter) -> None:
    with engine(steered) as arrived:
        call(
            "send",
            "live",
            "stop",
            "enough",
            "--wait",
            "--reason",
            " the score has not moved\x1b ",
            "--actor",
            "agent-7",
        )
    assert [(request.actor, request.command, request.reason) for request in arrived] == [
        ("agent-7", Stop("enough"), "the score has not moved\x1b")
    ]


def test_a_command_that_the_run_did_not_read_keeps_its_reason(call: Call, steered: JournalWriter) -> None:
    call("send", "live", "pause", "--reason", "lunch", "--actor", "agent-7")
    steered.close()
    (entry,) = json.loads(call("events", "live", "--json")[1])
    assert (entry["actor"], entry["status"]) == ("agent-7", "refused")
    assert entry["reason"] == "lunch; the run ended before it read this"
    assert "(lunch; the run ended before it read this) [agent-7]" in call("events", "live")[1]


def test_without_waiting_the_number_is_printed(call: Call, steered: JournalWriter) -> None:
    assert call("send", "live", "pause") == (0, "sent as command 1\n")
    assert call("send", "live", "pause", "--json") == (0, '{"command_id": 2}\n')


def test_no_answer_in_time_exits_with_3(call: Call, steered: JournalWriter) -> None:
    code, printed = call("send", "live", "pause", "--wait", "--timeout", "0.1")
    assert (code, printed) == (3, "command 1 was not answered within 0.1 s and stays in line\n")
    code, printed = call("send", "live", "pause", "--wait", "--timeout", "0.1", "--json")
    assert (code, json.loads(printed)) == (3, {"command_id": 2, "status": None})


def test_a_run_that_ends_while_somebody_waits_refuses(call: Call, steered: JournalWriter) -> None:
    def close_once_asked() -> None:
        with closing(JournalReader(steered.path)) as reader:
            end = time.monotonic() + 30
            while reader.newest_ids().command == 0 and time.monotonic() < end:
                time.sleep(0.01)
        steered.close()

    closer = threading.Thread(target=close_once_asked)
    closer.start()
    code, printed = call("send", "live", "pause", "--wait")
    closer.join()
    assert (code, printed) == (1, "refused at step 120: the run ended before it read this\n")


def test_knobs_are_set_by_name(call: Call, steered: JournalWriter) -> None:
    with engine(steered) as arrived:
        assert call("send", "live", "set-knob", "tau", "9", "--wait")[1].startswith(
            "clamped at step 120: tau 0.7 -> 2 (before 0.7, after 2.0): tau's upper bound is 2"
        )
        assert call("send", "live", "set-knob", "mixup", "on", "--wait")[0] == 0
        code, printed = call("send", "live", "set-knob", "mixup", "on", "--wait")
    assert (code, printed) == (1, "refused at step 120: mixup is on already\n")
    assert [request.command for request in arrived] == [
        SetKnob("tau", 9),
        SetKnob("mixup", True),
        SetKnob("mixup", True),
    ]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("lower-lr 0.5", 0, "would be applied at step 120: learning rate 1.00e-03 -> 5.00e-04 (before 0.001, after"),
        ("set-batch-size 9999", 0, "would be clamped at step 120: batch size 2 -> 1024 (before 2, after 1024): "),
        ("set-knob tau 1.5", 0, "would be applied at step 120: tau 0.7 -> 1.5"),
        ("set-knob ta 1.5", 1, "would be refused at step 120: no knob is called 'ta'; did you mean 'tau'?"),
        ("resume", 1, "would be refused at step 120: not paused"),
        ("enable sharpen", 1, "would be refused at step 120: no refinement is called 'sharpen'"),
        ("promote --force", 0, "would be applied at step 120: phase 1 -> 2"),
    ],
)
def test_a_dry_run_foretells_and_sends_nothing(
    call: Call, steered: JournalWriter, words: str, code: int, said: str
) -> None:
    found, printed = call("send", "live", *words.split(), "--dry-run")
    assert found == code
    assert printed.startswith(said)
    with closing(JournalReader(steered.path)) as reader:
        assert reader.newest_ids().command == 0


def test_a_dry_run_as_json(call: Call, steered: JournalWriter) -> None:
    code, printed = call("send", "live", "set-lr", "1", "--dry-run", "--json")
    assert (code, json.loads(printed)) == (
        0,
        {
            "dry_run": True,
            "status": "clamped",
            "step": 120,
            "reason": "at most x10 in one command",
            "kind": "lr_set",
            "event": {"before": 1e-3, "after": 1e-2, "at_epoch": 0.0},
        },
    )
    code, printed = call("send", "live", "resume", "--dry-run", "--json")
    assert (code, json.loads(printed)["status"]) == (1, "refused")


@pytest.mark.parametrize("options", [(), ("--dry-run",), ("--wait",)])
def test_a_run_that_is_not_running_takes_nothing(call: Call, runs_dir: Path, options: tuple[str, ...]) -> None:
    with writing(create_run(runs_dir, "over")) as writer:
        writer.record_state(STATE)
    died(runs_dir)
    for name in ("over", "dead"):
        with pytest.raises(UserError, match=f"the run '{name}' is not running"):
            call("send", name, "pause", *options)


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_a_silent_process_is_named_and_not_called_gone(
    call: Call, steered: JournalWriter, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setattr("engine.journal.sessions.STALE_SECONDS", 0)
    with pytest.raises(UserError, match=f"does not read commands now: process {os.getpid()} on .* has been silent for"):
        call("send", "live", "pause", *options)


def test_a_run_without_a_state_predicts_nothing(call: Call, live: JournalWriter) -> None:
    live.flush()
    with pytest.raises(UserError, match="has no state yet"):
        call("send", "live", "pause", "--dry-run")


@pytest.mark.parametrize("actor", ["script", "rule", "guardian"])
def test_nobody_acts_as_the_program_itself(call: Call, steered: JournalWriter, actor: str) -> None:
    with pytest.raises(UserError, match=f"--actor {actor}: the program itself is recorded as this"):
        call("send", "live", "lower-lr", "--actor", actor)


def test_wrong_words_are_answered_before_anything_is_sent(call: Call, steered: JournalWriter) -> None:
    with pytest.raises(UserError, match="did you mean 'pause'"):
        call("send", "live", "paus")
    with pytest.raises(UserError, match="'--force' is one argument too many"):
        call("send", "live", "pause", "--force")
    with closing(JournalReader(steered.path)) as reader:
        assert reader.newest_ids().command == 0


def test_a_note_is_kept_as_written_and_shown_escaped(call: Call, steered: JournalWriter) -> None:
    note = "[red]a\x1b[2J\nb 人"
    with engine(steered):
        code, printed = call("send", "live", "--wait", "note", note)
    assert code == 0
    assert printed == "applied at step 120: note: [red]a\\x1b[2J\\nb 人\n"
    assert json.loads(call("events", "live", "--json")[1])[0]["event"]["text"] == note


def test_a_user_without_a_name_is_unknown(call: Call, steered: JournalWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no user with this number")

    monkeypatch.setattr(getpass, "getuser", nobody)
    with engine(steered) as arrived:
        call("send", "live", "pause", "--wait")
    assert arrived[0].actor == "cli:unknown"
