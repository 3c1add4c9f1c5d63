"""The list of runs in a process of its own: a run is opened and left again, and lines are printed in a pipe."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.e2e.terminal_session import TerminalSession, clean_environment, program
from tests.e2e.test_steering import assert_given_back
from tests.many_runs import make_runs


def test_a_run_is_opened_from_the_list_and_left_again(tmp_path: Path) -> None:
    make_runs(tmp_path / "runs", 3)
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    with TerminalSession(program("runs"), tmp_path, size=(100, 30), environment=environment) as terminal:
        terminal.wait_for("3 runs, by started", "tiny-0000", "✓ finished", "q quit")
        terminal.press("/0001\r")
        terminal.wait_for("1 shown")
        terminal.press("\r")
        terminal.wait_for("120/1000", "q leave")
        terminal.press("q")
        terminal.wait_for("1 shown", "q quit")
        terminal.press("q")
        assert terminal.wait(30) == 0
        assert_given_back(terminal)
    assert len(list((tmp_path / "cache" / "training-cockpit").glob("runs-*.json"))) == 1


def test_in_a_pipe_the_list_is_lines(tmp_path: Path) -> None:
    make_runs(tmp_path / "runs", 2)
    done = subprocess.run(
        program("runs"), cwd=tmp_path, env=clean_environment(), capture_output=True, text=True, timeout=60, check=True
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["run", "tiny-0001", "tiny-0000"]
    assert done.stderr == ""
