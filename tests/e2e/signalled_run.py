"""Start the program with or without a screen, send a signal, and examine its end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.e2e.terminal_session import TerminalSession, clean_environment, program
from tests.forked import Forked, ForkedProcess

RUN = "one"
IN_PYTHON = b"init_import_site"
"""Python's own start was interrupted: no line of the program had run."""
RESTORED = (b"\x1b[?1049l", b"\x1b[?25h", b"\x1b[?2004l", b"\x1b[?1000l", b"\x1b[?1003l", b"\x1b[?1006l")


@dataclass(frozen=True)
class Started:
    """A program that runs: its process and where its run is made."""

    process: subprocess.Popen[bytes] | ForkedProcess
    directory: Path


@dataclass(frozen=True)
class End:
    """Observations of an end: `left` are processes that still exist, `spoilt` terminal modes that are still set."""

    code: int
    printed: bytes
    left: tuple[str, ...]
    spoilt: tuple[str, ...]
    has_journal: bool

    def wrongs(self, number: signal.Signals) -> list[str]:
        """What is wrong for the end by `number`; a process that was still Python's own may die by the signal itself."""
        in_python = not self.has_journal and (self.code == -number or IN_PYTHON in self.printed)
        wrongs = [*self.left, *self.spoilt]
        if self.code != 128 + number and not in_python:
            wrongs.append(f"exit code {self.code}")
        if b"Traceback" in self.printed and not in_python:
            wrongs.append(self.printed.decode(errors="replace"))
        return wrongs


def end_by(
    folder: Path,
    number: signal.Signals,
    when: Callable[[Started], None],
    *,
    screen: bool,
    words: tuple[str, ...] = (),
    start: Callable[..., list[str] | Forked] = program,
) -> End:
    """Start a run in `folder`, send `number` once `when` returns, and wait for the end."""
    command = start("--config", "small.yaml", "--run", RUN, *words, *(() if screen else ("--no-ui",)))
    return (_on_screen if screen else _on_pipes)(command, folder, number, when)


def _on_screen(
    command: list[str] | Forked, folder: Path, number: signal.Signals, when: Callable[[Started], None]
) -> End:
    with TerminalSession(command, folder) as terminal:
        started = Started(terminal.process, folder / "runs" / RUN)
        with _killed_at_last(started.process):
            code = _signalled(started, number, when)
            spoilt = [] if terminal.attributes() == terminal.before else ["the terminal's attributes are not as before"]
            left = _left_in(started.process.pid)
            terminal.wait()
            written = terminal.written()
            opened = written.rfind(b"\x1b[?1049h")
            spoilt += [f"{mode!r} is missing" for mode in RESTORED if opened >= 0 and written.rfind(mode) < opened]
            return End(code, written, left, tuple(spoilt), (started.directory / "run.sqlite").exists())


def _on_pipes(
    command: list[str] | Forked, folder: Path, number: signal.Signals, when: Callable[[Started], None]
) -> End:
    with (folder / "printed").open("w+b") as printed:
        process = _start(command, folder, printed.fileno())
        started = Started(process, folder / "runs" / RUN)
        with _killed_at_last(process):
            code = _signalled(started, number, when)
        left = _left_in(process.pid)
        printed.seek(0)
        return End(code, printed.read(), left, (), (started.directory / "run.sqlite").exists())


def _start(command: list[str] | Forked, folder: Path, output: int) -> subprocess.Popen[bytes] | ForkedProcess:
    if isinstance(command, Forked):
        return ForkedProcess(command, folder, clean_environment(), (0, output, output))
    return subprocess.Popen(
        command, cwd=folder, env=clean_environment(), stdout=output, stderr=output, start_new_session=True
    )


def _signalled(started: Started, number: signal.Signals, when: Callable[[Started], None]) -> int:
    when(started)
    started.process.send_signal(number)
    return started.process.wait(60)


@contextmanager
def _killed_at_last(process: subprocess.Popen[bytes] | ForkedProcess) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def _left_in(session: int, seconds: float = 20) -> tuple[str, ...]:
    """Processes of the session that do not go by themselves within some seconds."""
    deadline = time.monotonic() + seconds
    while left := _members(session):
        if time.monotonic() > deadline:
            return tuple(f"left running: {process}" for process in left)
        time.sleep(0.02)
    return ()


def _members(session: int) -> list[str]:
    found: list[str] = []
    for process in psutil.process_iter(["pid", "status", "cmdline"]):
        try:
            belongs = os.getsid(process.info["pid"]) == session
        except (ProcessLookupError, PermissionError):
            continue
        if belongs and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(f"{process.info['pid']} {process.info['cmdline']}")
    return found
