"""`attach` without a terminal: each reason not to open one is a sentence and exit code 2; a browser needs none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import main
from cockpit.terminal.terminal import BROWSER_DRIVER, DRIVER_VARIABLE
from engine.journal.disk.new_run import create_run
from engine.journal.disk.run_dir import lock_run
from tests.recorded import ROOT
from tests.recorded_run import record_run


def attach(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Attach in vain, and return the one line that is printed."""
    assert main.main(["attach", *words]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    return said.err


def test_without_a_terminal_other_commands_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record_run(tmp_path / "runs" / "one", steps=20)
    said = attach(capsys, "--runs-dir", str(tmp_path / "runs"))
    assert "is not a terminal: without a screen `main.py events one --follow` follows a run" in said


def test_a_run_that_does_not_exist_is_named_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record_run(tmp_path / "runs" / "first", steps=20)
    said = attach(capsys, "frist", "--runs-dir", str(tmp_path / "runs"))
    assert "there is no run 'frist' in" in said and "did you mean 'first'" in said


def test_a_run_without_a_journal_says_how_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cockpit.app.screen_commands.attach.why_no_screen", lambda: "")
    checkpoints = create_run(tmp_path / "runs", "lost") / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "step-00000010.pt").touch()
    said = attach(capsys, "lost", "--runs-dir", str(tmp_path / "runs"))
    assert "the journal of 'lost' is gone: --resume lost continues from its checkpoints" in said


def test_a_screen_in_a_browser_speaks_packets_and_ends_with_its_server(tmp_path: Path) -> None:
    record_run(tmp_path / "runs" / "seen", steps=20)
    environment = os.environ | {DRIVER_VARIABLE: BROWSER_DRIVER, "COLUMNS": "100", "ROWS": "30", "NO_COLOR": "1"}
    words = [
        sys.executable,
        str(ROOT / "main.py"),
        "attach",
        "seen",
        "--runs-dir",
        str(tmp_path / "runs"),
        "--read-only",
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as screen:
        assert screen.stdout is not None
        assert screen.stdin is not None
        assert screen.stdout.readline() == b"__GANGLION__\n"
        kinds, drawn = "", b""
        while b"seen" not in drawn:
            head = screen.stdout.read(5)
            kinds += chr(head[0])
            drawn += screen.stdout.read(int.from_bytes(head[1:], "big"))
        screen.stdin.close()  # as a server that was killed does
        rest = screen.stdout.read()
        assert (screen.wait(60), screen.stderr.read() if screen.stderr else b"") == (0, b"")
    assert set(kinds) == {"D"}
    assert rest.endswith(b'{"type": "exit"}')


@pytest.mark.parametrize("words", [("--no-ui",), ()], ids=["console", "screen"])
def test_a_resume_of_a_running_run_names_its_process_and_attach(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    run_dir = record_run(tmp_path / "runs" / "busy", steps=20)
    monkeypatch.chdir(tmp_path)
    with lock_run(run_dir):
        assert main.main(["--resume", "busy", *words]) == 2
        said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        f"error: the run 'busy' is running (pid {os.getpid()}): python main.py attach busy opens its screen; "
        "stop it before you resume it"
    )
