"""`run`: an untouched program in a child process, watched and steered through a socket."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from cockpit.session.session import Session
from engine.adapters.programs.command import Program, command_of
from engine.adapters.programs.program import run_program
from engine.errors import UserError
from engine.journal.disk.new_run import create_run
from engine.journal.reader import JournalReader
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.commands import Command
from engine.protocol.events import Activity, Status
from engine.runtime.host.interrupt import Interrupt
from tests.adapters.own_loop import entries, events, rows, state_of
from tests.adapters.watched_program import Steering, holds, script

TRAIN = """
import sys, time, torch
from torch import nn
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
for step in range(int(sys.argv[1])):
    loss = nn.functional.cross_entropy(model(torch.randn(8, 4)), torch.randint(2, (8,)))
    optimizer.zero_grad()
    loss.backward()
    if step == 6:
        model[2].bias.grad[0] = float("nan")
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
    time.sleep(float(sys.argv[2]))
    print("step", step, optimizer.param_groups[0]["lr"], flush=True)
assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
print("finite")
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return the directory of a new run."""
    return create_run(tmp_path / "runs", "one")


def test_an_untouched_program_is_watched_steered_and_stopped(tmp_path: Path, directory: Path) -> None:
    """Its NaN changes nothing and is named despite its clipping; every command acts at a step boundary."""
    command = command_of([script(tmp_path, TRAIN), "100000", "0.005"])
    plan: list[tuple[Callable[..., bool], Command]] = [
        (lambda state: state.step >= 10, c.ScaleLr(0.5)),
        (lambda state: state.lr == 0.005, c.SetGradientClip(0.01)),
        (lambda state: state.gradient_clip == 0.01, c.RunSteps(3)),
        (lambda state: state.activity is Activity.PAUSED, c.SaveCheckpoint()),
        (lambda state: state.activity is Activity.PAUSED, c.SetLr(0.002)),
        (lambda state: state.activity is Activity.PAUSED and state.lr == 0.002, c.Resume()),
        (lambda state: state.activity is Activity.RUNNING, c.Stop()),
    ]
    Steering(directory, plan).start()
    assert run_program(Program(command, directory), Interrupt()) == 0
    state = state_of(directory)
    assert state.activity is Activity.FINISHED
    (skipped,) = events(directory, e.StepSkipped)
    assert skipped.modules == ("2.bias",)
    found = rows(directory)
    assert sorted(found) == list(range(1, state.step + 1)), "every step has its row"
    assert found[7]["skipped"] == 1.0 and found[8]["skipped"] == 0.0
    assert {"grad_norm/0", "grad_norm/2", "weight_norm/0"} <= found[8].keys() and found[1]["loss/total"] > 0
    metric = "layer/2.bias/grad_norm"
    with closing(JournalReader(directory)) as reader:
        series = reader.series((metric,))
    assert series.steps[0] == 1 and series.values[metric][0] == pytest.approx(found[1]["grad_norm/2"], rel=1.0)
    answers = [entry for entry in entries(directory) if entry.command_id]
    assert [entry.status for entry in answers] == [
        Status.APPLIED,
        Status.APPLIED,
        Status.APPLIED,
        Status.REFUSED,
        Status.APPLIED,
        Status.APPLIED,
        Status.APPLIED,
    ]
    assert "five lines" in answers[3].reason
    scaled, granted, set_by_hand = answers[0].step, answers[2].step, answers[4].step
    assert (found[scaled]["lr"], found[scaled + 1]["lr"]) == (pytest.approx(0.01), pytest.approx(0.005))
    assert set_by_hand == granted + 3, "three granted steps, and no more"
    assert found[set_by_hand + 1]["lr"] == pytest.approx(0.002)
    printed = (directory / "console.log").read_text()
    assert "step 0 0.01" in printed and f"step {state.step} " not in printed
    assert "0.005" not in printed.replace("0.01", ""), "the program never sees the factor"


def test_a_program_with_modules_called_like_ours_runs_as_a_module(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs often have an `engine.py`, some a `sitecustomize.py`: both stay theirs."""
    package = tmp_path / "package"
    package.mkdir()
    script(package, "", "__init__.py")
    script(package, f"import engine, seen\nassert engine.MINE and seen.by == ['sitecustomize']\n{TRAIN}", "go.py")
    script(tmp_path, "MINE = True", "engine.py")
    script(tmp_path, "by = []", "seen.py")
    script(tmp_path, "import seen; seen.by.append(__name__)", "sitecustomize.py")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    command = command_of(["-m", "package.go", "20", "0"])
    assert run_program(Program(command, directory), Interrupt()) == 0
    assert state_of(directory).step == 20
    assert "finite" in (directory / "console.log").read_text()
    assert events(directory, e.RunFinished)[-1].reason == "complete"


def test_a_program_that_fails_is_told_with_its_last_line(tmp_path: Path, directory: Path) -> None:
    """Exit code 1, whatever its own was; the traceback is in the log."""
    command = command_of([script(tmp_path, "import sys\nprint('hello')\nsys.exit('no data in /data')")])
    assert run_program(Program(command, directory), Interrupt()) == 1
    assert state_of(directory).activity is Activity.FAILED
    error = events(directory, e.RunFailed)[-1].error
    assert error == "the program ended with exit code 1: no data in /data"


def test_a_program_without_training_says_so(tmp_path: Path, directory: Path) -> None:
    """An empty chart needs a reason."""
    command = command_of([script(tmp_path, "print('nothing to train')")])
    assert run_program(Program(command, directory), Interrupt()) == 0
    assert "without an optimizer step" in events(directory, e.RunFinished)[-1].reason


def test_an_interrupt_ends_the_program_at_a_step_boundary(tmp_path: Path, directory: Path) -> None:
    """The first Ctrl-C is a stop; the exit code is the signal's."""
    command = command_of([script(tmp_path, TRAIN), "100000", "0.005"])
    interrupt = Interrupt()

    def ask() -> None:
        while not holds(directory, lambda state: state.step >= 10):
            time.sleep(0.05)
        interrupt.ask(2)

    threading.Thread(target=ask, daemon=True).start()
    assert run_program(Program(command, directory), interrupt) == 130
    assert events(directory, e.RunFinished)[-1].reason == "stopped"


def test_a_program_outlives_a_cockpit_that_was_killed(tmp_path: Path) -> None:
    """The training belongs to the user: it goes on, and ends as without the cockpit."""
    path = script(tmp_path, TRAIN)
    words = [sys.executable, "-c", _KILLED, path, str(tmp_path)]
    cockpit = subprocess.Popen(words, cwd=Path(__file__).parents[2])
    log = tmp_path / "runs" / "one" / "console.log"
    while not log.exists() or "step 20 " not in log.read_text():
        assert cockpit.poll() is None
        time.sleep(0.05)
    cockpit.kill()
    cockpit.wait()
    deadline = time.monotonic() + 60
    while "finite" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert "step 399 " in log.read_text()


_KILLED = """
import sys
from pathlib import Path
from engine.adapters.programs.command import Program, command_of
from engine.adapters.programs.program import run_program
from engine.runtime.host.interrupt import Interrupt
from engine.journal.disk.new_run import create_run
directory = create_run(Path(sys.argv[2]) / "runs", "one")
run_program(Program(command_of([sys.argv[1], "400", "0.005"]), directory), Interrupt())
"""


OWN = """
import sys, time, torch
from torch import nn
from cockpit import Cockpit
torch.manual_seed(0)
model = nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
batches = [torch.randn(8, 4) for _ in range(10)]
with Cockpit(model, optimizer, run=sys.argv[1], runs_dir=sys.argv[2], resume="--resume" in sys.argv) as cockpit:
    for epoch in cockpit.epochs(int(sys.argv[3])):
        for x in cockpit.steps(batches):
            cockpit.loss({"size": model(x).square().mean()}).backward()
            optimizer.step()
            optimizer.zero_grad()
            time.sleep(0.005)
"""


def test_a_program_with_a_cockpit_of_its_own_is_one_run(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes over the directory of `run`, whose screen shows it and whose end stops it."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    path, folder = script(tmp_path, OWN, "own.py"), str(tmp_path / "runs")
    interrupt = Interrupt()

    def ask() -> None:
        while not holds(directory, lambda state: state.step >= 10):
            time.sleep(0.02)
        interrupt.ask(15)

    threading.Thread(target=ask, daemon=True).start()
    with closing(Session(directory)) as session:
        session.poll()
        assert run_program(Program(command_of([path, "mine", folder, "1000000"]), directory), interrupt) == 143
        session.poll()
        assert session.state is not None and session.spec.term_names == ("size",)
        assert session.origin.attached is not None and session.origin.attached.adapter == "loop"
    assert [entry.name for entry in (tmp_path / "runs").iterdir()] == ["one"]
    found = entries(directory)
    assert len([entry for entry in found if isinstance(entry.event, e.RunStarted)]) == 1
    assert [entry.actor for entry in found if entry.command_id] == ["signal"]
    assert isinstance(found[-1].event, e.RunFinished) and found[-1].event.reason == "stopped"
    assert sorted(rows(directory)) == list(range(1, state_of(directory).step + 1))
    assert (directory / "checkpoints").is_dir()

    again = create_run(tmp_path / "runs", "again")
    words = [path, "one", folder, "1000000", "--resume"]
    begun = state_of(directory).step
    plan: list[tuple[Callable[..., bool], Command]] = [(lambda state: state.step > begun, c.Stop())]
    Steering(directory, plan).start()
    assert run_program(Program(command_of(words), again), Interrupt()) == 0
    assert events(again, e.RunFinished)[-1].reason == f"the program records itself in {directory}"
    assert state_of(directory).step > begun


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "a program is missing"),
        (["nowhere.py"], "no program 'nowhere.py'"),
        (["-m"], "a module is missing"),
        (["--"], "a command is missing"),
        (["--", "no-such-command-here"], "no command 'no-such-command-here'"),
    ],
)
def test_a_missing_program_is_one_sentence(words: list[str], said: str) -> None:
    """Before anything is started."""
    with pytest.raises(UserError, match=said):
        command_of(words)


def test_words_after_the_program_are_its_own() -> None:
    """Also those that look like options of the cockpit."""
    from cockpit.cli.arguments import parse_arguments

    arguments = parse_arguments(["run", "--run", "a", "--no-ui", "train.py", "--run", "b", "--help"])
    assert (arguments.command, arguments.run_name, arguments.no_ui) == ("run", "a", True)
    assert arguments.program == ["train.py", "--run", "b", "--help"]
    assert os.fspath(arguments.runs_dir) == "runs"
