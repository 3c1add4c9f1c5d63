"""The end of a program that ignores SIGTERM: it is killed when a user asks again, and not before."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from cockpit.app.signals import ScreenSignals
from engine.adapters.programs import program, program_end
from engine.adapters.programs.command import Program, command_of
from engine.adapters.programs.program import run_program
from engine.adapters.programs.program_end import ProgramEnd
from engine.journal.disk.new_run import create_run
from engine.journal.sender import Sender
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Status
from engine.runtime.host.interrupt import Interrupt, signals_to
from tests.adapters.own_loop import entries, events

STUBBORN = "trap '' TERM; echo $$ > pid; sleep 60 & sleep 60; sleep 60"
"""A shell that ignores SIGTERM, as its children do."""


class Sent:
    """What a program is sent, and what is said of it, with a clock that is set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.signals: list[signal.Signals] = []
        self.said: list[str] = []
        monkeypatch.setattr(program_end, "end_child", lambda child, number: self.signals.append(number))
        child: subprocess.Popen[bytes] = SimpleNamespace()  # type: ignore[assignment]
        self.end = ProgramEnd(child, "train.py", lambda sentence, remedy: self.said.append(sentence), lambda: self.now)

    def at(self, now: float, *, insists: bool = False) -> list[signal.Signals]:
        self.now = now
        self.end.turn(10.0, insists=insists)
        return self.signals


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    return Sent(monkeypatch)


def test_one_request_never_kills_a_program_and_says_that_it_goes_on(sent: Sent) -> None:
    assert sent.at(9.9) == []
    assert sent.at(10.1) == [signal.SIGTERM]
    assert sent.at(20.0) == [signal.SIGTERM] and not sent.said
    assert sent.at(3600.0) == sent.at(7200.0) == [signal.SIGTERM]
    assert sent.said == ["train.py has ignored SIGTERM for 10 s and goes on"]
    assert sent.at(7200.1, insists=True) == [signal.SIGTERM, signal.SIGKILL]
    assert sent.said[1:] == ["train.py ignored SIGTERM for 7190 s and was killed"]
    assert sent.at(7300.0, insists=True) == [signal.SIGTERM, signal.SIGKILL], "once"


def test_a_second_request_terminates_now_and_leaves_the_program_the_time_to_save(sent: Sent) -> None:
    assert sent.at(1.0) == []
    assert sent.at(2.0, insists=True) == sent.at(11.9, insists=True) == [signal.SIGTERM]
    assert sent.said == ["train.py was sent SIGTERM, and is killed in 10 s unless it ends"]
    assert sent.at(12.1, insists=True) == [signal.SIGTERM, signal.SIGKILL]
    assert sent.said[1:] == ["train.py ignored SIGTERM for 10 s and was killed"]


def test_a_program_that_ignores_sigterm_is_killed_with_its_processes_at_the_second_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_GRACE_SECONDS", 0.05)
    monkeypatch.setattr(program_end, "PATIENCE_SECONDS", 0.05)
    monkeypatch.chdir(tmp_path)
    directory, interrupt = create_run(tmp_path / "runs", "one"), Interrupt()

    def ask() -> None:
        until((tmp_path / "pid").exists)
        interrupt.ask(signal.SIGTERM)
        until(lambda: len(events(directory, e.AlertRaised)) == 1)
        assert interrupt.holds_program
        interrupt.ask(signal.SIGTERM)

    threading.Thread(target=ask, daemon=True).start()
    assert run_program(Program(command_of(["--", "sh", "-c", STUBBORN]), directory), interrupt) == 143
    assert not interrupt.holds_program
    goes_on, killed = events(directory, e.AlertRaised)
    assert goes_on.message.startswith("sh has ignored SIGTERM for ") and "once more kills it" in goes_on.remedy
    assert killed.message.endswith(" s and was killed")
    assert events(directory, e.RunFinished)[-1].reason == "stopped"
    group = int((tmp_path / "pid").read_text())
    until(lambda: not is_there(group))


def test_a_stop_command_ends_a_program_that_reaches_no_step_boundary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_GRACE_SECONDS", 0.05)
    monkeypatch.chdir(tmp_path)
    directory = create_run(tmp_path / "runs", "one")

    def stop() -> None:
        until((tmp_path / "pid").exists)
        with closing(Sender(directory)) as sender:
            sender.send(c.Stop(), "agent", "enough")

    threading.Thread(target=stop, daemon=True).start()
    assert (
        run_program(Program(command_of(["--", "sh", "-c", "echo > pid; exec sleep 60"]), directory), Interrupt()) == 0
    )
    (stopping,) = [entry for entry in entries(directory) if isinstance(entry.event, e.StopRequested)]
    assert (stopping.actor, stopping.status) == ("agent", Status.APPLIED)
    assert events(directory, e.RunFinished)[-1].reason == "stopped"


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_counts_as_asking_again() -> None:
    def repeated(*numbers: int, stop: bool = False) -> int:
        interrupt = Interrupt(stop=stop)
        for number in numbers:
            interrupt.ask(number)
        return interrupt.num_repeated

    assert repeated(signal.SIGTERM, signal.SIGTERM) == repeated(signal.SIGTERM, signal.SIGINT) == 1
    assert repeated(signal.SIGINT, stop=True) == 1
    assert repeated(signal.SIGINT) == repeated(signal.SIGUSR1, signal.SIGUSR1) == 0
    assert repeated(signal.SIGUSR2, signal.SIGUSR2) == 0, "a scheduler may repeat itself"
    assert repeated(signal.SIGTERM, signal.SIGHUP) == 0, "a manager of services may send both together"


def test_a_second_interrupt_leaves_no_program_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a program it ends the process immediately."""
    exits: list[int] = []
    monkeypatch.setattr(os, "_exit", exits.append)
    for holds_program in (True, False):
        interrupt = Interrupt(holds_program=holds_program)
        with signals_to(interrupt):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        training = SimpleNamespace(holds_program=lambda held=holds_program: held, stop=lambda number: None)
        terminal = SimpleNamespace(is_taken=False)
        heard = ScreenSignals(training, terminal, keep_running=False)  # type: ignore[arg-type]
        heard._on_signal(signal.SIGINT, None)
        heard._on_signal(signal.SIGINT, None)
        assert exits == ([] if holds_program else [130, 130])
