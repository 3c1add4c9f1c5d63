"""A training is left and found again: its shell has the prompt back, and no screen changes a bit of it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest
import torch

from engine.journal.sender import send
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from tests.e2e.terminal_session import TerminalSession, forked, program
from tests.e2e.test_attach import start, until
from tests.e2e.test_ends import step_of
from tests.e2e.test_steering import assert_given_back, events_of, poisoned, running, state_of

pytestmark = pytest.mark.timeout(240)

SIZE = (120, 40)
STEPS = ("--max-steps", "9")
SHELL = ["bash", "--norc", "--noprofile", "-i"]


def kill(process: psutil.Process) -> None:
    """Kill a process unless it has ended."""
    with suppress(psutil.NoSuchProcess):
        process.kill()


def assert_same_bits(here: object, there: object) -> None:
    """Compare what two checkpoints hold, bit by bit."""
    if isinstance(here, torch.Tensor):
        assert isinstance(there, torch.Tensor) and torch.equal(here, there)
    elif isinstance(here, Mapping):
        assert isinstance(there, Mapping) and here.keys() == there.keys()
        for key in here:
            assert_same_bits(here[key], there[key])
    elif isinstance(here, list | tuple):
        assert isinstance(there, list | tuple) and len(here) == len(there)
        for one, other in zip(here, there, strict=True):
            assert_same_bits(one, other)
    else:
        assert here == there


def end_of(directory: Path) -> dict[str, object]:
    """Return what the last checkpoint of a run holds of its training: weights, moments, generators, position."""
    content = load_checkpoint(list_checkpoints(directory / "checkpoints")[-1])
    assert content["step"] == int(STEPS[1])
    return {name: content[name] for name in ("model", "moments", "rng", "position")}


@pytest.mark.slow
def test_a_training_that_is_left_watched_and_left_again_has_the_bits_of_an_undisturbed_one(folder: Path) -> None:
    directory = folder / "runs/one"
    (folder / "pauses.txt").write_text("3: pause\n6: pause\n")
    (folder / "same.txt").write_text("3: lower-lr 0.5\n")
    alone = start(folder, "--config", "small.yaml", "--run", "alone", "--script", "same.txt", *STEPS)
    shell = TerminalSession(SHELL, folder, size=SIZE, environment={"PS1": "prompt> ", "HISTFILE": ""})
    with alone, shell, ExitStack() as at_last:
        shell.wait_for("prompt>")
        words = ("--config", "small.yaml", "--run", "one", "--script", "pauses.txt", *STEPS)
        shell.press(f"{' '.join(program(*words))}\n")
        shell.wait_for("‖ paused", " 3/9")
        shell.press("q")
        shell.wait_for("Stop with a checkpoint", "Detach (the training goes on)", "Cancel")
        shell.press("d")
        said = shell.wait_for("run one goes on in the background", "attach one")
        trainer = psutil.Process(int(re.findall(r"pid (\d+)", said)[0]))
        at_last.callback(kill, trainer)
        shell.press("echo the prompt is $((6*7))\n")
        shell.wait_for("the prompt is 42")
        assert_given_back(shell)
        with (
            TerminalSession(program("attach", "latest"), folder, size=SIZE) as first,
            TerminalSession(forked("attach", "one"), folder, size=SIZE) as second,
        ):
            second.wait_for("‖ paused", "q leave")
            second.press("\x1b[15~")  # F5
            first.wait_for("‖ paused")
            first.press("l")
            first.wait_for("lower LR: applied")
            second.wait_for("[events]", f"[cockpit@{os.ttyname(first.slave).removeprefix('/dev/')}]", "learning rate")
            second.press(" ")
            first.wait_for("‖ paused", " 6/9")
            first.process.kill()
            second.wait_for(" 6/9")
            second.hang_up()
            assert second.process.wait(30) == 0
        shell.hang_up()
        shell.process.wait(30)
        assert trainer.is_running() and trainer.terminal() is None
        assert len(events_of(directory, e.StopRequested)) == 0
        send(directory, c.Resume(), "test")
        until(lambda: not trainer.is_running())
        assert alone.wait(60) == 0
    assert state_of(directory).activity is Activity.FINISHED
    assert "complete after" in (directory / "console.log").read_text()
    assert_same_bits(end_of(directory), end_of(folder / "runs/alone"))


def test_a_training_goes_on_if_its_settings_say_so_though_the_shell_lost_its_job(folder: Path) -> None:
    settings = folder / "config" / "training-cockpit" / "cockpit.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("on_hangup: keep\n")
    words = ("--config", "small.yaml", "--run", "one", "--set", "data.num_workers=1")
    with TerminalSession(poisoned("pace", *words), folder) as terminal:
        running(terminal)
        trainer = terminal.trainer()
        try:
            terminal.process.kill()
            terminal.process.wait(30)
            until(lambda: terminal.written().rfind(b"\x1b[?1049l") > terminal.written().rfind(b"\x1b[?1049h"))
            terminal.hang_up()
            left_at = step_of(folder)
            until(lambda: step_of(folder) > left_at + 5)
            assert trainer.terminal() is None and os.getsid(trainer.pid) == trainer.pid
            trainer.send_signal(signal.SIGHUP)
            left_at = step_of(folder)
            until(lambda: step_of(folder) > left_at + 5)
            trainer.terminate()
            until(lambda: not trainer.is_running())
        finally:
            kill(trainer)
    assert state_of(folder / "runs/one").activity is Activity.FINISHED
    assert not [event for event in events_of(folder / "runs/one", e.AlertRaised) if "worker" in str(event)]
    assert "stopped after" in (folder / "runs/one/console.log").read_text()
