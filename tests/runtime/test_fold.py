"""The events of a recorded run, folded by `evolve`, give the decided part of its last state again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from engine.journal.disk.run_dir import CHECKPOINTS
from engine.journal.reader import Entry
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.evolve import evolve
from engine.protocol.state import Decided, RunState
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.start.bootstrap import initial_state
from engine.runtime.start.resume import resumed_state
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from tests.faulty import entries, long_config, poison, run, state_of

STEERED = (
    ScriptedCommand(3, c.ScaleLr(0.5), 1),
    ScriptedCommand(3, c.ScaleLr(0.5), 2),
    ScriptedCommand(4, c.SetLossWeight("dice", 0.7), 3),
    ScriptedCommand(5, c.SetGradientClip(0.5), 4),
    ScriptedCommand(6, c.EnableRefinement("contour_detection"), 5),
    ScriptedCommand(8, c.PromotePhase(force=True), 6),
    ScriptedCommand(15, c.SetOptimizer("adam"), 7),
    ScriptedCommand(16, c.SetLr(1e-4), 8),
    ScriptedCommand(18, c.Rollback("8"), 9),
)


def folded(start: RunState, events: Iterable[Entry]) -> RunState:
    return reduce(lambda state, entry: evolve(state, entry.event, entry.step, actor=entry.actor), events, start)


def decided(state: RunState) -> dict[str, Any]:
    return {field.name: getattr(state, field.name) for field in fields(Decided)}


def test_steering_a_promotion_and_rollbacks_are_rebuilt_from_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, config = tmp_path / "run", long_config()
    poison(monkeypatch, "active_contour", lambda plan, batch: plan.step >= 11)
    assert run(directory, config, script=STEERED) == 0
    recorded, last = entries(directory), state_of(directory)
    assert [entry.actor for entry in recorded if isinstance(entry.event, e.RolledBack)] == ["guardian", "script"]
    assert (last.rollbacks, last.gradient_clip, last.optimizer) == (1, 0.5, "adam") and last.skipped_steps
    assert last.enabled_at["contour_detection"] == 6 and last.phase_started_at == 8
    assert decided(folded(initial_state("run", config), recorded)) == decided(last)


def test_a_resumed_run_is_rebuilt_from_its_checkpoint_and_the_events_since(tmp_path: Path) -> None:
    directory, config = tmp_path / "run", long_config()
    stop = (*STEERED[:6], ScriptedCommand(12, c.Stop(), 7))
    assert run(directory, config, script=stop) == 0
    before = entries(directory)
    payload = load_checkpoint(list_checkpoints(directory / CHECKPOINTS)[-1])
    assert run(directory, config, resume=True) == 0
    start = resumed_state(payload, config, initial_state("run", config))
    since, last = entries(directory)[len(before) :], state_of(directory)
    assert since and last.probation is None and start.probation is not None
    assert decided(folded(start, since)) == decided(last)
