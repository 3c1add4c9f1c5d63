"""Standard streams that are closed, full or broken: the run trains, and a command reports it in one sentence."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.training.checkpoint.file import list_checkpoints
from main import main
from tests.e2e.terminal_session import clean_environment, program
from tests.faulty import run
from tests.forked import Forked, ForkedProcess
from tests.small import small_config

pytestmark = pytest.mark.timeout(240)


def in_shell(folder: Path, redirections: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program under a shell's redirections, and capture the output that is not redirected."""
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirections}; exit ${{PIPESTATUS[0]}}', "bash", *program(*words)],
        cwd=folder,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


SHORT = ("--config", "small.yaml", "--run", "one", "--max-steps", "2")


@pytest.mark.parametrize(
    "redirections",
    [pytest.param(">&-", marks=pytest.mark.slow), "<&- >&- 2>&-"],
    ids=["closed", "all closed"],
)
def test_a_run_trains_without_a_console(folder: Path, redirections: str) -> None:
    done = in_shell(folder, redirections, *SHORT)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert list_checkpoints(folder / "runs/one/checkpoints")[-1].name == "step-00000002.pt"


@pytest.mark.parametrize("errors", [True, False], ids=["both full", "full"])
def test_a_run_trains_with_a_full_console(folder: Path, errors: bool) -> None:
    with open("/dev/full", "wb") as full, (folder / "said").open("w+b") as said:
        streams = (0, full.fileno(), full.fileno() if errors else said.fileno())
        trained_with(folder, streams)
        said.seek(0)
        assert b"Traceback" not in said.read()


def test_a_run_trains_with_a_console_whose_reader_ends(folder: Path) -> None:
    reader, writer = os.pipe()
    with (folder / "said").open("w+b") as said:
        process = ForkedProcess(Forked(SHORT), folder, clean_environment(), (0, writer, said.fileno()))
        os.close(writer)
        with os.fdopen(reader, "rb", buffering=0) as read:
            assert read.read(1)
        assert process.wait(120) == 0
        said.seek(0)
        assert b"Traceback" not in said.read()
    assert list_checkpoints(folder / "runs/one/checkpoints")[-1].name == "step-00000002.pt"


def trained_with(folder: Path, streams: tuple[int, int, int]) -> None:
    """Assert that two steps are trained with these standard streams."""
    assert ForkedProcess(Forked(SHORT), folder, clean_environment(), streams).wait(120) == 0
    assert list_checkpoints(folder / "runs/one/checkpoints")[-1].name == "step-00000002.pt"


@pytest.mark.parametrize("words", [("configs",), ("configs", "--show", "tiny"), ("--version",)])
def test_a_command_that_cannot_print_says_so_in_one_sentence(folder: Path, words: tuple[str, ...]) -> None:
    done = in_shell(folder, ">/dev/full", *words)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["error: cannot write to standard output: No space left on device"]


COMMANDS = ("runs", "status", "events", "metrics", "plot", "plot --plotext", "send", "diagnose", "redrive")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs directory with the run 'one'."""
    runs_dir = tmp_path_factory.mktemp("streams")
    assert run(runs_dir / "one", small_config(training={"max_steps": 2})) == 0
    return runs_dir


def _words(command: str, runs_dir: Path) -> list[str]:
    name, *options = command.split()
    given = [] if name == "runs" else ["one", "pause"] if name == "send" else ["one"]
    return [name, *given, *options, "--runs-dir", str(runs_dir)]


class _Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_reports_a_full_output(
    trained: Path, command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The commands that end with a mistake before they print anything keep its exit code."""
    monkeypatch.setattr(sys, "stdout", _Full())
    monkeypatch.setattr("main.lead_nowhere", lambda descriptor: None)
    code = main(_words(command, trained))
    said = capfd.readouterr().err
    assert said.splitlines()[-1].startswith("error: ") and "Traceback" not in said
    assert code == (2 if command in ("send", "diagnose") else 1)
    assert code == 2 or "cannot write to standard output: No space left on device" in said


@pytest.mark.parametrize("redirections", ["<&-", "2>&-"])
@pytest.mark.parametrize("command", ["plot", "status"])
def test_a_command_works_with_a_closed_stream(trained: Path, folder: Path, command: str, redirections: str) -> None:
    done = in_shell(folder, redirections, *_words(command, trained))
    assert (done.returncode, done.stderr) == (0, "")


UNWRITTEN = "error: cannot write to standard output: Bad file descriptor\n"


@pytest.mark.parametrize(
    ("words", "redirections", "said"),
    [("status", "<&- >&- 2>&-", ""), ("status", ">&-", UNWRITTEN), ("--version", ">&-", UNWRITTEN)],
)
def test_a_command_whose_output_is_closed_says_so(
    trained: Path, folder: Path, words: str, redirections: str, said: str
) -> None:
    done = in_shell(folder, redirections, *(_words(words, trained) if words in COMMANDS else [words]))
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("command", [*COMMANDS, "--version", "--help", "status --help"])
def test_every_command_reports_a_closed_output(
    trained: Path, command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As on a full disk: output that is buffered until the end counts too."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        monkeypatch.setattr("main.lead_nowhere", lambda descriptor: None)
        words = command.split() if "--help" in command or command == "--version" else _words(command, trained)
        code = main(words)
        os.dup2(nowhere := os.open(os.devnull, os.O_WRONLY), descriptor)
        os.close(nowhere)
    said = capfd.readouterr().err
    assert said.splitlines()[-1].startswith("error: ") and "Traceback" not in said
    assert code == (2 if command in ("send", "diagnose") else 1)
    assert code == 2 or UNWRITTEN in said


@pytest.mark.parametrize("redirections", ["2>/dev/full", "2>&-"])
def test_a_mistake_has_its_exit_code_also_where_it_cannot_be_said(folder: Path, redirections: str) -> None:
    assert in_shell(folder, redirections, "--no-ui", "--config", "smal.yaml").returncode == 2


def test_a_closed_output_gets_nothing_of_the_files_that_are_opened_later(folder: Path) -> None:
    """Descriptor 1 is the next number that is free: without care it would be that of the first file."""
    done = in_shell(folder, ">&-", "configs", "--show", "tiny")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", UNWRITTEN)
