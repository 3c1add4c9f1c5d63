"""How a run ended in words, and commands that can be pasted to go on from there."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cockpit.text.next_steps import End, end_of, next_steps, resume_command
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from engine.protocol.state import RunState
from tests.dialogs.entries import Ledger
from tests.person_state import person_state

STATE = person_state(run="calm", step=120, total_steps=240, last_checkpoint="step-00000120.pt")
DONE = replace(STATE, step=240, activity=Activity.FINISHED)
FAILED = replace(STATE, activity=Activity.FAILED)


def ended(state: RunState, *events: e.Event, actor: str = "cli:ada") -> End | None:
    recorder = Ledger()
    recorder.write(e.StopRequested("of an earlier start", "running"), actor="cli:bob")
    recorder.write(e.RunStarted("cpu", 10, 5, 3, 240), status=Status.NOTED, answers=False)
    for event in events:
        recorder.write(event, actor=actor)
    return end_of(state, recorder.entries)


@pytest.mark.parametrize("activity", [a for a in Activity if a not in (Activity.FINISHED, Activity.FAILED)])
def test_a_run_that_goes_on_has_no_end(activity: Activity) -> None:
    assert ended(replace(STATE, activity=activity), e.RunFinished("complete", 9.0)) is None


@pytest.mark.parametrize(
    ("state", "events", "said"),
    [
        (DONE, (e.RunFinished("complete", 60.0),), "finished: all 240 steps are done"),
        (DONE, (e.RunFinished("[red]\x1b[2J", 60.0),), "finished: [red]\\x1b[2J"),
        (
            replace(DONE, step=120),
            (e.StopRequested("seen enough", "paused"), e.RunFinished("stopped", 60.0)),
            "stopped at step 120 by cli:ada (seen enough)",
        ),
        (replace(DONE, step=120), (e.RunFinished("stopped", 60.0),), "stopped at step 120"),
        (FAILED, (e.RunFailed("the disk is full\x1b[2J"),), "failed: the disk is full\\x1b[2J"),
        (FAILED, (), "failed"),
    ],
)
def test_an_end_says_how_and_why(state: RunState, events: tuple[e.Event, ...], said: str) -> None:
    end = ended(state, *events)
    assert end is not None and end.said == said


def test_a_failure_lasted_from_its_newest_start() -> None:
    end = ended(FAILED, e.RunFailed("boom"))
    assert end is not None and end.seconds == 1.0


def test_a_finished_run_can_train_further_be_looked_at_and_be_driven_again() -> None:
    ways = dict(next_steps(Path("runs/calm"), replace(DONE, epoch=19), End("finished", "", 1.0)))
    assert ways == {
        "train further": "python main.py --resume calm --epochs 40",
        "its curves": "python main.py plot calm",
        "what happened": "python main.py events calm",
        "again, bit by bit": "python main.py redrive calm",
    }


def test_a_run_that_had_its_steps_is_given_more_of_them() -> None:
    (_, command), *_ = next_steps(Path("runs/calm"), DONE, End("finished", "", 1.0), max_steps=240)
    assert command == "python main.py --resume calm --max-steps 480"


def test_a_stopped_run_goes_on_from_another_directory() -> None:
    ways = dict(
        next_steps(Path("/data/my runs/it's"), replace(STATE, activity=Activity.FINISHED), End("stopped", "", 1))
    )
    assert shlex.split(ways["go on"]) == ["python", "main.py", "--resume", "it's", "--runs-dir", "/data/my runs"]
    assert "again, bit by bit" not in ways


def test_a_failure_with_evidence_is_diagnosed_first(tmp_path: Path) -> None:
    (tmp_path / "forensics" / "step-00000012").mkdir(parents=True)
    (first, command), *_ = next_steps(tmp_path, FAILED, End("failed", "", None))
    assert (first, command.split()[:3]) == ("find the cause", ["python", "main.py", "diagnose"])


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    ways = dict(next_steps(tmp_path, replace(FAILED, last_checkpoint=""), End("failed", "", None)))
    assert list(ways) == ["its curves", "what happened"]


def test_the_installed_command_is_named_as_it_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/opt/tools/bin/training-cockpit", "--no-ui"])
    assert resume_command(Path("runs/calm")) == "training-cockpit --resume calm"
