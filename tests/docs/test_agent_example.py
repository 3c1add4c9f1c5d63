"""The agent of the manual trains a tiny run through all phases, and the journal tells what it did and why."""

from __future__ import annotations

import asyncio
import runpy
import sys
import textwrap
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.journal.disk.run_dir import has_journal
from engine.journal.reader import JournalReader
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from tests.conftest import ROOT
from tests.docs.generate import EXAMPLES
from tests.docs.test_examples import python_blocks
from tests.faulty import entries, run, state_of
from tests.runtime.test_probation import lenient, level

__all__ = ["level"]


def begun(directory: Path) -> bool:
    """Return whether the run trains; a journal that is being created cannot be read."""
    if not has_journal(directory):
        return False
    try:
        with closing(JournalReader(directory)) as reader:
            state = reader.state()
    except UserError:
        return False
    return state is not None and state.step > 0


@pytest.fixture(scope="module")
def mcp() -> Any:
    """Import the SDK before `capsys` replaces the standard error stream, which the SDK keeps for its servers."""
    return pytest.importorskip("mcp", reason="the extra agent is not installed")


@pytest.mark.usefixtures("level")
def test_the_agent_of_the_manual_goes_through_the_phases_unattended(
    mcp: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "runs" / "night"
    directory.parent.mkdir()
    attend: Any = runpy.run_path(str(EXAMPLES / "agent.py"))["attend"]
    words = [str(ROOT / "main.py"), "mcp", "--steer", "--runs-dir", str(directory.parent)]
    server = mcp.StdioServerParameters(command=sys.executable, args=words)
    ends: list[dict[str, Any]] = []

    def work() -> None:
        while not begun(directory):
            time.sleep(0.05)
        ends.append(asyncio.run(attend("night", server, seconds=0.2, tune_steps=4)))

    agent = threading.Thread(target=work)
    agent.start()
    config: Any = lenient(
        training={"epochs": 2_000, "max_steps": 4_000, "warmup_epochs": 0.5}, tensorboard={"enabled": False}
    )
    assert run(directory, config) == 0
    agent.join()
    (end,) = ends
    assert (end["state"], end["phase"]) == ("finished", 4)
    state = state_of(directory)
    assert (state.activity, state.lr <= 1e-6) == (Activity.FINISHED, True)
    acted = [entry for entry in entries(directory) if entry.actor == "agent:night-watch"]
    promoted = [entry for entry in acted if isinstance(entry.event, e.PhasePromoted)]
    assert [entry.event.after for entry in promoted] == [2, 3, 4]  # type: ignore[union-attr]
    assert promoted[0].reason.endswith("is ready, score None") or "is ready, score 0." in promoted[0].reason
    assert [entry.status for entry in acted if isinstance(entry.event, e.LrSet)][-1] is Status.APPLIED
    assert isinstance(acted[-1].event, e.StopRequested)
    assert acted[-1].reason == "fine-tuned"
    assert "promote: applied at step" in capsys.readouterr().out


def test_the_recipe_shows_the_part_of_the_agent_that_decides() -> None:
    shown = [code for code in python_blocks(ROOT / "cockpit/docs/recipes.md") if "enter_phases" in code]
    assert [textwrap.indent(code, "    ") in (EXAMPLES / "agent.py").read_text("utf-8") for code in shown] == [True]
