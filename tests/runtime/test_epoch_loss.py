"""The mean loss of an epoch counts the steps of the lineage, each of them once."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.words.script import ScriptedCommand
from tests.faulty import entries, run, series
from tests.small import small_config


def test_steps_that_were_rolled_back_are_left_out(tmp_path: Path) -> None:
    directory, config = tmp_path / "run", small_config(checkpoint={"every_steps": 1, "keep_last": 9})
    assert run(directory, config, script=(ScriptedCommand(3, c.Rollback("step-00000001.pt"), 1),)) == 0
    (rollback,) = entries(directory, e.RolledBack)
    assert rollback.event == e.RolledBack("step-00000001.pt", 3, 1)
    losses = series(directory, "loss/total")
    first, second = (losses[1] + losses[2]) / 2, (losses[3] + losses[4]) / 2
    assert len(losses) == 4 and abs(first - second) > 1e-3
    means = [entry.event.mean_loss for entry in entries(directory, e.EpochCompleted)]  # type: ignore[union-attr]
    assert means == pytest.approx([first, first, second], rel=1e-6)
