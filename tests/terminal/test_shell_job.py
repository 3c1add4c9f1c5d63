"""The process that a shell waits for: it passes signals on, and ends with its child or when that leaves."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cockpit.terminal import shell_job
from cockpit.terminal.shell_job import ShellJob, begin_job, wants_job
from tests.conftest import ROOT
from tests.e2e.terminal_session import TerminalSession

BEGIN = f"""
import os, signal, sys, time
sys.path.insert(0, {str(ROOT)!r})
from cockpit.terminal.shell_job import begin_job
job = begin_job()
assert job.why_not == "" and not job.is_abandoned() and begin_job() is job
said = open("said", "a", buffering=1)
say = lambda *words: print(*words, file=said)
"""
READY = """
print("ready", os.getpid(), "to go on", flush=True)
"""
FOREGROUND = "say('foreground', os.tcgetpgrp(0) == os.getpgrp() != os.getpgid(os.getppid()))"


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert holds()


class Program(TerminalSession):
    """A program in two processes on a terminal; `child` is the second one."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.folder = folder
        super().__init__([sys.executable, "-c", "\n".join([BEGIN, *lines])], folder)

    def ready(self) -> psutil.Process:
        """Wait until the child is ready, and return its process."""
        words = self.wait_for("ready", "to go on").split()
        return psutil.Process(int(words[words.index("ready") + 1]))

    def said(self) -> list[str]:
        """What the child has said so far."""
        file = self.folder / "said"
        return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize(
    ("last", "code"),
    [("sys.exit(7)", 7), ("pass", 0), ("os.kill(os.getpid(), signal.SIGKILL)", -9), ("1 / 0", 1)],
)
def test_the_job_ends_as_its_child_does(tmp_path: Path, last: str, code: int) -> None:
    with Program(tmp_path, FOREGROUND, last) as program:
        assert program.wait() == code
        assert program.said() == ["foreground True"]


def test_signals_reach_the_child_once(tmp_path: Path) -> None:
    lines = (
        "for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGWINCH, signal.SIGQUIT):",
        "    signal.signal(n, lambda n, frame: say(signal.Signals(n).name))",
        READY,
        "while 'SIGQUIT' not in open('said').read(): time.sleep(0.01)",
        "sys.exit(143)",
    )
    names = ["SIGINT", "SIGTERM", "SIGHUP", "SIGWINCH", "SIGINT", "SIGQUIT"]
    with Program(tmp_path, *lines) as program:
        program.ready()
        for number, name in enumerate(names, start=1):
            program.process.send_signal(signal.Signals[name])
            until(lambda number=number: len(program.said()) == number)
        assert program.said() == names
        assert program.wait() == 143


def test_a_signal_that_is_ignored_at_the_start_stays_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        program = Program(tmp_path, READY, "time.sleep(0.2)", "say('whole')")
    finally:
        signal.signal(signal.SIGHUP, before)
    with program:
        program.ready()
        program.process.send_signal(signal.SIGHUP)
        assert program.wait() == 0
        assert program.said() == ["whole"]


def test_a_key_on_the_terminal_interrupts_the_child_alone(tmp_path: Path) -> None:
    lines = ("signal.signal(signal.SIGINT, lambda *_: (say('once'), sys.exit(130)))", READY, "time.sleep(20)")
    with Program(tmp_path, *lines) as program:
        program.ready()
        program.press("\x03")
        assert program.wait() == 130
        assert program.said() == ["once"]


def test_the_job_stops_and_continues_with_its_child(tmp_path: Path) -> None:
    lines = (
        READY,
        "os.kill(os.getpid(), signal.SIGSTOP)",
        FOREGROUND,
        "sys.exit(3)",
    )
    with Program(tmp_path, *lines) as program:
        child = program.ready()
        _, status = os.waitpid(program.process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status) and child.status() == psutil.STATUS_STOPPED
        assert os.tcgetpgrp(program.master) == program.process.pid
        program.process.send_signal(signal.SIGCONT)
        assert program.wait() == 3
        assert program.said() == ["foreground True"]


SUSPENDS = (READY, "os.kill(os.getpid(), signal.SIGTSTP)", FOREGROUND, "sys.exit(3)")


def test_a_suspended_job_is_continued_by_its_shell(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text("\n".join([BEGIN, *SUSPENDS]))
    script = f"set -m; {sys.executable} job.py; echo stopped $?; fg; echo ended $?"
    with TerminalSession(["bash", "-c", script], tmp_path) as terminal:
        assert terminal.wait(20) == 0
        assert "stopped 148" in terminal.text() and "ended 3" in terminal.text()


def test_a_job_without_a_shell_that_could_continue_it_goes_on(tmp_path: Path) -> None:
    with Program(tmp_path, *SUSPENDS) as program:
        assert program.wait() == 3
        assert program.said() == ["foreground True"]


def test_a_child_that_leaves_goes_on_without_the_terminal(tmp_path: Path) -> None:
    lines = (
        "if os.fork() == 0: time.sleep(20)",  # as a data worker does, it stays in the group
        "job.leave()",
        "job.leave()",
        "say(job.has_left, job.is_abandoned(), os.getsid(0) == os.getpid())",
        "while os.path.exists('on'): time.sleep(0.01)",
        "say('ended')",
    )
    (tmp_path / "on").touch()
    with Program(tmp_path, *lines) as program:
        assert program.process.wait(20) == 0
        program.hang_up()
        until(lambda: bool(program.said()))
        (tmp_path / "on").unlink()
        until(lambda: "ended" in program.said())
    assert program.said() == ["True False True", "ended"]


def test_a_script_reads_the_terminal_after_its_job_was_left(tmp_path: Path) -> None:
    lines = (
        "nowhere = os.open(os.devnull, os.O_RDWR)",
        "for number in range(3): os.dup2(nowhere, number)",
        "job.leave()",
        "while os.path.exists('on'): time.sleep(0.01)",
    )
    (tmp_path / "on").touch()
    (tmp_path / "job.py").write_text("\n".join([BEGIN, *lines]))
    script = f"{sys.executable} job.py; echo left $?; read word; echo got $word"
    with TerminalSession(["sh", "-c", script], tmp_path) as terminal:
        terminal.wait_for("left 0")
        terminal.press("something\n")
        assert terminal.wait(20) == 0
        assert "got something" in terminal.text()
    (tmp_path / "on").unlink()


def test_a_child_notices_that_the_job_was_killed(tmp_path: Path) -> None:
    lines = (
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)",  # the job leads the session here, so its end hangs up
        READY,
        "while not job.is_abandoned(): time.sleep(0.01)",
        "job.leave()",
        "say('abandoned', job.has_left)",
    )
    with Program(tmp_path, *lines) as program:
        program.ready()
        program.process.kill()
        program.process.wait(20)
        until(lambda: program.said() == ["abandoned True"])


def test_a_job_is_begun_early_where_a_screen_is_likely(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not wants_job([])  # standard input is no terminal here
    monkeypatch.setattr(shell_job.os, "isatty", lambda _: True)
    for words in ("", "--config tiny", "--resume one", "run train.py --lr 1"):
        assert wants_job(words.split())
    for words in ("attach one", "status", "--no-ui", "--config tiny --no-ui", "--help", "run --no-ui train.py", "sned"):
        assert not wants_job(words.split())


@pytest.mark.parametrize("allowed", [0, 1])
def test_a_process_that_cannot_be_divided_gives_the_reason(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    forks = [os.fork] * allowed

    def no_more() -> int:
        if forks:
            return forks.pop()()
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(shell_job.os, "fork", no_more)
        num_open, children = len(os.listdir("/proc/self/fd")), psutil.Process().children()
        job = begin_job()
        assert job.why_not == "no second process could be started: Resource temporarily unavailable"
        assert len(os.listdir("/proc/self/fd")) == num_open and psutil.Process().children() == children
        patched.setattr(shell_job.os, "getpid", lambda: 1)
        assert "first process of a container" in begin_job().why_not
        patched.delattr(shell_job.os, "fork")
        assert begin_job().why_not == "this system cannot divide a process"
    job.leave()
    assert not job.is_abandoned() and not job.has_left
    assert not ShellJob("no").has_left
