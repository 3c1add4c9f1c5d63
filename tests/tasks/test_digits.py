"""The digits of the documentation: trained under every command, named where NaN is planted, and resumed to the bit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from engine.config.load import load_config, read_resolved
from engine.config.tree import RunConfig
from engine.journal.disk.run_dir import CHECKPOINTS, CONFIG_FILE
from engine.outputs.fault_report import REPORT_TEXT
from engine.outputs.reproduction_report import ReproductionReport, ReproductionRequest
from engine.protocol import events as e
from engine.protocol.commands import SetKnob
from engine.protocol.wire import OPS, op_of
from engine.protocol.words.command_syntax import COMMAND_WORDS, parse_command
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.reproduce.reproduce import reproduce
from engine.task import load_task
from engine.training.checkpoint.file import list_checkpoints
from tests.conftest import ROOT
from tests.faulty import entries, run, same_weights, series, state_of

FILE = ROOT / "cockpit/docs/examples/digits.py"
TASK = f"{FILE}:Digits"
EVERY_WORD = """
2: set-lr 0.002
3: lower-lr 0.5
3: raise-lr 1.5
4: set-clip 2
4: set-accumulation 2
5: set-batch-size 300
6: checkpoint
7: enable redraw
8: set-weight redraw_error 0.25
9: set-optimizer adam
10: validate
10: note a remark
11: disable redraw
12: promote --force
13: demote
14: guardian off
14: autopilot on
14: autopilot off
15: exclude 7
16: rollback 6
17: pause
17: step 2
19: histogram network
19: resume
20: stop enough
"""


FEW = ("training.batch_size=16", "training.max_steps=24")
"""Steps with so few samples each that the run goes on without those of a bad one."""


def config_of(*settings: str) -> RunConfig:
    """The digits' own configuration with big batches: five steps an epoch."""
    small = ("training.batch_size=288", "training.epochs=6", "checkpoint.every_steps=3", "tensorboard.enabled=false")
    gate = ("gate.min_steps=4", "gate.window_steps=4", "guard.dead_steps=4")
    return load_config("", (f"task={TASK}", *small, *gate, *settings))


def script_of(text: str) -> tuple[ScriptedCommand, ...]:
    lines = [line.partition(": ") for line in text.split("\n") if line]
    return tuple(
        ScriptedCommand(int(step), parse_command(words.split()), number)
        for number, (step, _, words) in enumerate(lines, start=1)
    )


def reproduced(directory: Path) -> ReproductionReport:
    return reproduce(ReproductionRequest(directory, directory.parent, "again"), Interrupt())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to its end, promoted on the way, with oneDNN, as the program has it."""
    torch.backends.mkldnn.set_flags(True)
    directory = tmp_path_factory.mktemp("digits") / "whole"
    assert run(directory, config_of(), script=script_of("8: promote --force")) == 0
    return directory


def test_it_learns_and_its_score_is_the_accuracy(whole: Path) -> None:
    scores = list(series(whole, "val/accuracy").values())
    state = state_of(whole)
    assert len(scores) == 6 and scores[-1] > 1.2 * scores[0]
    assert state.best_score == pytest.approx(max(scores)) and state.spec == load_task(TASK).spec
    assert state.phase == 1 and state.refinements == {"redraw"}


def test_every_command_is_obeyed_and_done_again_to_the_bit(tmp_path: Path) -> None:
    script = script_of(EVERY_WORD)
    assert {line.split(": ")[1].split()[0] for line in EVERY_WORD.split("\n") if line} == set(COMMAND_WORDS) - {
        "set-knob"
    }
    assert {op_of(scripted.command) for scripted in script} == set(OPS) - {SetKnob.op}, "the task declares no knob"
    directory = tmp_path / "run"
    assert run(directory, config_of("training.epochs=12"), script=script) == 0
    assert not entries(directory, e.CommandRefused, e.StepSkipped)
    (rollback,) = entries(directory, e.RolledBack)
    assert rollback.event == e.RolledBack("step-00000006.pt", 16, 6)
    assert state_of(directory).excluded_samples == {"7"} and state_of(directory).optimizer == "adam"
    report = reproduced(directory)
    assert report.identical and report.difference is None and report.notes == ()


def test_a_gate_without_a_baseline_lets_the_autopilot_promote(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    assert run(directory, config_of("autopilot.enabled=true", "training.epochs=10", "guard.plateau_steps=0")) == 0
    (promoted,) = entries(directory, e.PhasePromoted)
    assert promoted.actor == "autopilot" and state_of(directory).phase == 1
    names = [check.name for check in state_of(directory).gate]
    assert "validation accuracy" in names and "loss below chance" not in names


def test_nan_in_a_term_is_named_and_rolled_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = type(load_task(TASK))
    losses: Callable[..., dict[str, torch.Tensor]] = task.losses

    def poisoned(self: object, outputs: object, batch: Mapping[str, torch.Tensor], *rest: object) -> object:
        found = losses(self, outputs, batch, *rest)
        if "redraw_error" in found:
            found["redraw_error"] = (found["redraw_error"] - found["redraw_error"].detach() - 1).log()
        return found

    monkeypatch.setattr(task, "losses", poisoned)
    config = config_of(*FEW, "guard.recovery.bad_steps=1", "guard.recovery.max_rollbacks=1")
    assert run(tmp_path / "run", config, script=script_of("7: enable redraw")) == 0
    named = entries(tmp_path / "run", e.FaultNamed)[0].event
    assert isinstance(named, e.FaultNamed)
    assert (named.term, named.refinement, named.direction) == ("redraw_error", "redraw", "forward")
    assert named.operation == "log"
    assert entries(tmp_path / "run", e.RolledBack)
    alerts = [entry.event for entry in entries(tmp_path / "run", e.AlertRaised)]
    assert any("disable the component named" in alert.remedy for alert in alerts)  # type: ignore[union-attr]
    report = (tmp_path / "run" / named.folder / REPORT_TEXT).read_text(encoding="utf-8")
    assert "\ncomponent  redraw\n" in report and "refinement" not in report


def test_nan_in_an_input_is_named_with_its_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = type(load_task(TASK))
    forward: Callable[..., object] = task.forward
    calls = [0]

    def poisoned(self: object, model: object, batch: dict[str, torch.Tensor], *rest: object) -> object:
        calls[0] += torch.is_grad_enabled()
        if calls[0] == 8:
            batch["input"][0, 0] = float("nan")
        return forward(self, model, batch, *rest)

    monkeypatch.setattr(task, "forward", poisoned)
    assert run(tmp_path / "run", config_of(*FEW)) == 0
    named = entries(tmp_path / "run", e.FaultNamed)[0].event
    assert isinstance(named, e.FaultNamed)
    assert (named.direction, named.verdict) == ("input", "reproduced")


@pytest.mark.usefixtures("as_in_programs")
def test_killed_and_resumed_elsewhere_it_ends_with_the_same_bits(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins in one folder, by a relative path of its task and with two workers; it goes on in another with none."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    shutil.copy(FILE, here / "own_digits.py")
    (here / "script").write_text("8: promote --force\n14: pause\n")
    settings = ["--set=training.batch_size=288", "--set=checkpoint.every_steps=3"]
    settings += ["--set=gate.min_steps=4", "--set=gate.window_steps=4", "--set=guard.dead_steps=4", "--epochs=6"]
    settings += ["--set=tensorboard.enabled=false", "--set=data.num_workers=2"]
    command = [sys.executable, str(ROOT / "main.py"), "--no-ui", "--quiet", "--device=cpu", "--script=script"]
    command += ["--task=own_digits.py:Digits", "--run=killed", *settings]
    child = subprocess.Popen(command, cwd=here, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    directory, deadline = here / "runs/killed", time.monotonic() + 60
    while time.monotonic() < deadline and not (directory / CHECKPOINTS / "step-00000012.pt").exists():
        time.sleep(0.05)
    time.sleep(0.2)
    child.send_signal(signal.SIGKILL)
    child.wait()
    monkeypatch.chdir(there)
    left = read_resolved(directory / CONFIG_FILE)
    other = left.model_copy(update={"data": left.data.model_copy(update={"num_workers": 0})})
    assert run(directory, other, resume=True, script=script_of("14: resume")) == 0
    assert list_checkpoints(directory / CHECKPOINTS)[-1].name == list_checkpoints(whole / CHECKPOINTS)[-1].name
    assert same_weights(directory, whole)
    assert series(directory, "loss/total") == series(whole, "loss/total")
