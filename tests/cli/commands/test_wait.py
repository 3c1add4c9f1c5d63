"""Waiting for a condition on a run: exit codes, and the line that says which part held."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.journal.disk.new_run import create_run
from engine.journal.writer import JournalWriter
from engine.protocol import events as e
from engine.protocol.events import Activity
from tests.cli.conftest import Call, OnceFollowed
from tests.person_state import person_state
from tests.recorded import writing

STATE = person_state("live", activity=Activity.RUNNING, step=120, lr=1e-3, phase=1, score=0.3, skipped_steps=2)


@pytest.fixture
def running(live: JournalWriter) -> JournalWriter:
    """A run at step 120 in phase 1, with two steps and a validation."""
    live.record_state(STATE)
    for step in (119, 120):
        live.record_step(step, 1.0, ("loss/total", "grad_norm/total"), (step / 100, 2.0))
    live.record_validation(40, 0.5, ("val/loss", "val/miou"), (0.75, 0.3))
    live.flush()
    return live


@pytest.mark.parametrize(
    ("condition", "line"),
    [
        ("phase>=2 or nan>0 or score>.5", "step 120: nan > 0 holds (nan 2)\n"),
        ("phase==1 and val/loss<1", "step 120: phase == 1 and val/loss < 1 holds (phase 1, val/loss 0.75)\n"),
        ("loss/total>1.1", "step 120: loss/total > 1.1 holds (loss/total 1.2)\n"),
        ("activity!=paused", "step 120: activity != paused holds (activity running)\n"),
    ],
)
def test_what_holds_already_ends_the_waiting(call: Call, running: JournalWriter, condition: str, line: str) -> None:
    assert call("wait", "live", "--until", condition) == (0, line)


def test_a_later_state_is_waited_for(call: Call, running: JournalWriter, once_followed: OnceFollowed) -> None:
    def promote() -> None:
        running.record_state(replace(STATE, phase=2, step=130))
        running.record_event(130, e.PhasePromoted(1, 2, ()))

    once_followed(promote)
    code, printed = call("wait", "live", "--until", "phase>=2", "--timeout", "30", "--json")
    assert code == 0
    assert json.loads(printed) == {"outcome": "holds", "step": 130, "part": "phase >= 2", "values": {"phase": 2}}


def test_a_value_of_a_single_step_is_not_missed(
    call: Call, running: JournalWriter, once_followed: OnceFollowed
) -> None:
    def train() -> None:
        for step, loss in ((121, 1.0), (122, 50.0), (123, 1.0)):
            running.record_step(step, 1.0, ("loss/total",), (loss,))

    once_followed(train)
    code, printed = call("wait", "live", "--until", "loss>10", "--timeout", "30")
    assert (code, printed) == (0, "step 122: loss > 10 holds (loss 50)\n")


def test_an_old_value_of_a_single_step_is_no_news(call: Call, running: JournalWriter) -> None:
    code, printed = call("wait", "live", "--until", "loss/total<1.195", "--timeout", "0")
    assert (code, printed) == (3, "step 120: loss/total<1.195 did not hold within 0 s (loss/total 1.2)\n")


def test_the_end_of_the_run_ends_the_waiting(call: Call, running: JournalWriter, once_followed: OnceFollowed) -> None:
    once_followed(running.close)
    code, printed = call("wait", "live", "--until", "phase>=2 and best>1", "--timeout", "30")
    assert (code, printed) == (
        1,
        "step 120: the run ended without phase>=2 and best>1 (phase 1, best not recorded)\n",
    )


def test_a_condition_on_the_end_holds_at_the_end(call: Call, running: JournalWriter) -> None:
    running.record_state(replace(STATE, activity=Activity.FINISHED))
    running.close()
    assert call("wait", "live", "--until", "activity==finished")[0] == 0


def test_time_can_run_out(call: Call, running: JournalWriter) -> None:
    code, printed = call("wait", "live", "--until", "val/loss<.5", "--timeout", "0.1", "--json")
    assert code == 3
    assert json.loads(printed) == {"outcome": "timed out", "step": 120, "part": None, "values": {"val/loss": 0.75}}


@pytest.mark.parametrize(
    ("condition", "problem"),
    [
        ("phse>=2", "there is no 'phse': did you mean 'phase'"),
        ("val/lss<1", "there is no 'val/lss': did you mean 'val/loss'"),
        ("phase=2", "'=' is not understood: write '=='"),
    ],
)
def test_wrong_words_are_one_sentence(call: Call, running: JournalWriter, condition: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        call("wait", "live", "--until", condition)


def test_a_run_without_metrics_yet_may_record_any(call: Call, runs_dir: Path, once_followed: OnceFollowed) -> None:
    with writing(create_run(runs_dir, "fresh")) as writer:
        writer.record_state(person_state("fresh"))
        writer.flush()
        assert call("wait", "fresh", "--until", "mine/quality>0", "--timeout", "0")[0] == 3
        once_followed(lambda: writer.record_step(1, 0.1, ("mine/quality",), (3.0,)))
        assert call("wait", "fresh", "--until", "mine/quality>0", "--timeout", "30") == (
            0,
            "step 1: mine/quality > 0 holds (mine/quality 3)\n",
        )
