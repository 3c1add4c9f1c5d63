"""Interventions that change the phase: the gate of the new phase starts blocked."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Status
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.loop import Loop
from tests.faulty import entries, run
from tests.small import small_config


def test_the_checks_of_one_phase_open_no_gate_of_the_next(tmp_path: Path) -> None:
    config = small_config(training={"epochs": 40, "max_steps": 12}, gate={"min_steps": 4, "window_steps": 4})
    script = tuple(ScriptedCommand(8, c.PromotePhase(force), line) for line, force in enumerate((True, False), start=1))
    assert run(tmp_path / "run", config, script=script) == 0
    promoted = entries(tmp_path / "run", e.PhasePromoted)
    refused = [entry for entry in entries(tmp_path / "run", e.CommandRefused) if entry.status is Status.REFUSED]
    assert len(promoted) == len(refused) == 1
    assert "steps in phase is 0" in refused[0].reason


def test_the_gate_is_shut_before_the_first_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turn, shut = Loop.turn, list[bool]()

    def watched_turn(loop: Loop) -> str:
        shut.append(any(not check.passed for check in loop._recorder.state.gate))
        return turn(loop)

    monkeypatch.setattr(Loop, "turn", watched_turn)
    assert run(tmp_path / "run", small_config(training={"max_steps": 2})) == 0
    assert shut[0]
