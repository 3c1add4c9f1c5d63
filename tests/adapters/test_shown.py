"""What a user sees of an attached run: only what exists, and how the program goes on."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import main
from cockpit.app.app import CockpitApp
from cockpit.preferences.settings import Settings
from cockpit.session.session import Session
from cockpit.ui.screens.quit import QuitScreen
from engine.adapters.capabilities import ADAPTERS, HUGGINGFACE, LOOP, NO_LINE, resume_of
from engine.adapters.run.findings import record_of
from engine.adapters.run.run_files import OpenFiles, open_files
from engine.journal.reader import JournalReader
from engine.journal.task_meta import ATTACHED, HAS_PREVIEWS, attached_of
from engine.outputs.fault_report import NOT_REPLAYED, REPRODUCED, VANISHED, Fault
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity
from engine.protocol.state import Limits, RunState
from engine.protocol.task_spec import Phase, TaskSpec
from tests.adapters.own_loop import Training, send, state_of
from tests.conftest import ROOT
from tests.panels.stage import text_of

UNTOUCHED = TaskSpec("train", phases=(Phase("training"),), unsupported=NO_LINE.unsupported(), knows_data=False)


@pytest.fixture
def untouched(tmp_path: Path) -> Iterator[OpenFiles]:
    """Yield the files of a run of an untouched program at step 30, which is alive."""
    directory = tmp_path / "runs" / "one"
    directory.mkdir(parents=True)
    state = RunState(
        "one", spec=UNTOUCHED, gradient_clip=math.inf, guardian=False, limits=Limits(max_gradient_clip=math.inf)
    )
    opened = open_files(
        directory, state, {"adapter": "run", "program": "train.py", "config": {"max_grad_norm": 3}}, is_resumed=False
    )
    recorder = opened.recorder
    recorder.record_event(e.RunStarted("cpu", 97, 0, 0, 0, learning_rate=1e-3))
    recorder.set_activity(Activity.RUNNING)
    names = ("loss/total", "grad_norm/total", "grad_norm/0", "lr", "skipped")
    for step in range(1, 31):
        recorder.update(step=step, loss=1.0 / step, grad_norm=0.5, lr=1e-3, doing="")
        recorder.journal.record_step(step, 0.0, names, (1.0 / step, 0.5, 0.5, 1e-3, 0.0))
    recorder.watch_writers()
    yield opened
    opened.close()


@pytest.fixture
def finished(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of an own loop that has run to its end, without naming its loss or validating."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py"])
    training = Training()
    with training.cockpit(runs) as cockpit:
        for _ in cockpit.epochs(1):
            for x, y in cockpit.steps(training.loader):
                training.ce(x, y).backward()
                training.optimizer.step()
                training.optimizer.zero_grad()
    return runs / "one"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main.main(words) == 0
    return capsys.readouterr().out


# --- the console ----------------------------------------------------------------------------


def test_the_status_of_an_own_loop_says_how_its_program_goes_on(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = said(capsys, "status", str(finished))
    assert "to go on: start train.py again with Cockpit(..., resume=True)" in lines
    assert f"last checkpoint: {finished}/checkpoints/step-00000012.pt" in lines
    assert "12 steps, in epoch 1, lr" in lines
    assert "--resume" not in lines and "no best" not in lines and "diagnose" not in lines
    started = said(capsys, "events", str(finished)).splitlines()[0]
    assert started.endswith("114 parameters")


def test_a_trainers_checkpoint_keeps_its_own_path(untouched: OpenFiles, capsys: pytest.CaptureFixture[str]) -> None:
    recorder = untouched.recorder
    recorder.record_event(e.CheckpointSaved("output/checkpoint-30", "step", 0.1, None, True))
    recorder.record_event(e.RunFinished("complete", 1.0))
    untouched.close()
    with closing(JournalReader(_directory(untouched))) as reader:
        assert reader.meta(HAS_PREVIEWS) is False
        attached = attached_of(reader.meta(ATTACHED))
    assert attached is not None and (attached.program, attached.resume) == ("train.py", "")
    lines = said(capsys, "status", str(_directory(untouched)))
    assert "last checkpoint: output/checkpoint-30" in lines and "to go on" not in lines


def test_the_status_of_an_untouched_program_has_no_epoch_and_no_way_on(
    untouched: OpenFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    untouched.recorder.record_event(e.RunFinished("complete", 1.0))
    untouched.close()
    lines = said(capsys, "status", str(_directory(untouched)))
    assert "  30 steps, lr 1.00e-03, on no device" in lines
    assert "epoch" not in lines and "checkpoint" not in lines and "validated" not in lines
    status = json.loads(said(capsys, "status", str(_directory(untouched)), "--json"))
    assert status["attached"] == {"adapter": "run", "program": "train.py", "resume": ""}


def test_runs_are_listed_without_a_phase_and_a_length_that_they_do_not_have(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, row = said(capsys, "runs", "--runs-dir", str(finished.parent)).splitlines()
    assert row.split()[:6] == ["one", "finished", "12", "-", "-", "-"]


def test_a_plot_draws_neither_the_gates_bound_nor_a_clip(
    finished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    drawn = said(capsys, "plot", str(finished), "--keys", "grad_norm/total")
    assert "grad_norm/total" in drawn and "bound" not in drawn and "clip" not in drawn


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ("--no-ui", "--resume"),
            "--resume cannot start train.py, which trained one: start train.py again with Cockpit",
        ),
        (("redrive",), "redrive reproduces tasks, and one was trained by train.py: start the program again under"),
        (("diagnose",), "diagnose repeats steps of tasks, and one was trained by train.py: what was found while it"),
    ],
)
def test_what_only_a_task_can_do_is_refused_in_one_sentence(
    finished: Path, words: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main([*words, str(finished)]) == 2
    error = capsys.readouterr().err
    assert reason in error and len(error.splitlines()) == 1


def test_an_untouched_program_is_begun_again_and_not_resumed(
    untouched: OpenFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    untouched.close()
    assert main.main(["--no-ui", "--resume", str(_directory(untouched))]) == 2
    assert "begin a new run: " in capsys.readouterr().err


def test_the_names_of_adapters_say_how_they_go_on() -> None:
    assert resume_of(LOOP.name, "train.py") == "start train.py again with Cockpit(..., resume=True)"
    assert "resume_from_checkpoint" in resume_of(HUGGINGFACE.name, "train.py")
    assert resume_of(NO_LINE.name, "train.py") == resume_of("unknown", "train.py") == ""
    assert [bool(adapter.resume) for adapter in ADAPTERS] == [False, True, True, True]


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        (Fault(VANISHED), "counters and files of the loop"),
        (Fault(NOT_REPLAYED), "lower the learning rate"),
        (Fault(REPRODUCED, "input"), "look at this batch"),
        (Fault(REPRODUCED, "weight", "0", "weight"), "roll back to the last good checkpoint"),
        (Fault(REPRODUCED, "forward", "0", "log"), "lower the learning rate"),
    ],
)
def test_the_remedy_of_a_fault_is_one_that_the_training_has(fault: Fault, remedy: str, tmp_path: Path) -> None:
    state = RunState("one", spec=TaskSpec("train", unsupported=LOOP.unsupported()))
    _, alert = record_of(fault, 3, 0.1, tmp_path, state)
    assert remedy in alert.remedy and "diagnose" not in alert.remedy
    without = RunState("one", spec=UNTOUCHED)
    assert "roll back" not in record_of(fault, 3, 0.1, tmp_path, without)[1].remedy


# --- the clip -------------------------------------------------------------------------------


def test_a_clip_is_set_and_taken_off_again(runs: Path) -> None:
    training = Training()
    seen: list[float] = []

    def each(cockpit: object, step: int) -> None:
        seen.append(training_cockpit._hooks.clip)  # pyright: ignore[reportPrivateUsage]
        if step == 2:
            send(training_cockpit, c.SetGradientClip(0.5))
        if step == 6:
            send(training_cockpit, c.SetGradientClip(math.inf))

    with training.cockpit(runs) as training_cockpit:
        training.run(training_cockpit, 1, each)
    assert (seen[0], seen[5], seen[-1]) == (math.inf, 0.5, math.inf)
    assert state_of(runs / "one").gradient_clip == math.inf


# --- the screen -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
async def test_the_screen_of_an_untouched_program_shows_what_exists(
    untouched: OpenFiles, size: tuple[int, int]
) -> None:
    assert untouched.recorder.journal.flush()
    with closing(Session(_directory(untouched))) as session:
        session.poll()
        app = CockpitApp(session, settings=Settings())
        async with app.run_test(size=size) as pilot:
            await pilot.pause(0.5)
            charts = text_of(app.screen)
            assert "Loss" in charts and "30/-" in charts
            assert not [word for word in ("epoch", "bound", "clip Inf", "Loss terms", "Loss share") if word in charts]
            await pilot.press("f3")
            await pilot.pause()
            run = text_of(app.screen)
            assert "the clip is off" in run and "no components to switch" in run
            assert not [word for word in ("excluded", "data wait", "guardian rollbacks", "Inf") if word in run]
            await pilot.press("f4")
            await pilot.pause()
            assert "the task has no previews" in text_of(app.screen)
            app.push_screen(QuitScreen(lambda: "", saves=False))
            await pilot.pause()
            asked = text_of(app.screen)
            assert "only the program saves" in asked and "with a checkpoint" not in asked


# --- a hidden module ------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["cockpit import Cockpit", "cockpit.lightning import CockpitCallback"])
@pytest.mark.parametrize("before", ["", "import engine\n"])
def test_a_program_with_a_module_called_engine_is_told_in_one_sentence(tmp_path: Path, door: str, before: str) -> None:
    (tmp_path / "engine.py").write_text("x = 1\n")
    (tmp_path / "train.py").write_text(f"{before}from {door}\n")
    ended = subprocess.run(
        [sys.executable, "train.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    last = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 1
    assert last.startswith(f"ImportError: the module 'engine' is {tmp_path / 'engine.py'} in this program, not the")
    assert "training-cockpit run" in last


def _directory(opened: OpenFiles) -> Path:
    return opened.recorder.journal.path.parent
