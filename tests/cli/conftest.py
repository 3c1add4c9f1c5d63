"""A folder of runs: one that is alive, and a way to call subcommands on it as `main.py` does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cockpit.cli import followed_run
from cockpit.cli.arguments import parse_arguments
from cockpit.cli.dispatch import run_subcommand
from engine.journal.disk.new_run import create_run
from engine.journal.writer import JournalWriter
from tests.recorded import writing

Call = Callable[..., tuple[int, str]]
OnceFollowed = Callable[[Callable[[], None]], None]


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    """Where the runs of a test live."""
    return tmp_path / "runs"


@pytest.fixture
def live(runs_dir: Path) -> Iterator[JournalWriter]:
    """The writer of a run called 'live' that this process owns."""
    with writing(create_run(runs_dir, "live")) as writer:
        yield writer


@pytest.fixture
def call(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """Carry out a subcommand and return its exit code and what it printed."""

    def carry_out(*words: str) -> tuple[int, str]:
        code = run_subcommand(parse_arguments([words[0], "--runs-dir", str(runs_dir), *words[1:]]))
        return code, capsys.readouterr().out

    return carry_out


@pytest.fixture
def once_followed(monkeypatch: pytest.MonkeyPatch) -> Iterator[OnceFollowed]:
    """Do something on a thread once a command that follows a run has looked at it, however late that begins.

    Name this fixture after that of the run's writer, which is then closed after the thread has ended.
    """
    looked, check_pipe = threading.Event(), followed_run._check_pipe
    threads: list[threading.Thread] = []

    def note_look() -> None:
        looked.set()
        check_pipe()

    def start(action: Callable[[], None]) -> None:
        looked.clear()
        threads.append(threading.Thread(target=lambda: looked.wait(30) and action()))
        threads[-1].start()

    monkeypatch.setattr(followed_run, "_check_pipe", note_look)
    yield start
    for thread in threads:
        thread.join()
