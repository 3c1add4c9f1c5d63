"""The comparison in a process of its own, on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.terminal_session import TerminalSession, program
from tests.e2e.test_steering import assert_given_back
from tests.panels.comparing.pairs import record_pair

pytestmark = pytest.mark.timeout(240)


def test_two_runs_are_compared_and_the_terminal_is_given_back(folder: Path) -> None:
    record_pair(folder / "runs")
    with TerminalSession(program("compare", "base", "other_run"), folder, size=(100, 30)) as terminal:
        terminal.wait_for("[charts]", "b other_run")
        terminal.press("X")
        terminal.wait_for("by epoch")
        terminal.press("q")
        assert terminal.wait() == 0
        assert_given_back(terminal)
