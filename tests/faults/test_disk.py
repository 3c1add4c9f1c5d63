"""A disk that is full while checkpoint, journal and TensorBoard are written: the run goes on, and catches up."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.words.script import ScriptedCommand
from engine.runtime import checkpointer
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from tests.conftest import ROOT
from tests.faulty import entries, run, same_weights, series, state_of
from tests.forked import CapturedProcess, Forked
from tests.small import small_config


def _trained(directory: Path, first: int, last: int) -> tuple[str, str]:
    """Return what the program printed to standard output and error."""
    program = Forked((str(directory), str(first), str(last)), "tests.faults.full_disk")
    return CapturedProcess(program, ROOT, {**os.environ, "OMP_NUM_THREADS": "1"}).communicate(100)


@pytest.mark.usefixtures("as_in_programs")
def test_a_disk_that_is_full_for_a_while_costs_nothing_but_the_checkpoints_of_that_while(tmp_path: Path) -> None:
    out, err = _trained(tmp_path / "full", 6, 15)
    assert out.split() == ["0"], err
    assert list(series(tmp_path / "full", "loss/total")) == list(range(1, 25))
    failed = [entry.event.path for entry in entries(tmp_path / "full", e.CheckpointFailed)]  # type: ignore[union-attr]
    assert "step-00000008.pt" in failed
    newest = list_checkpoints(tmp_path / "full" / CHECKPOINTS)[-1]
    assert load_checkpoint(newest)["step"] == 24
    config = small_config(training={"epochs": 40, "max_steps": 24}, checkpoint={"every_steps": 4})
    assert run(tmp_path / "roomy", config) == 0
    assert same_weights(tmp_path / "full", tmp_path / "roomy")


@pytest.mark.slow
def test_a_disk_that_stays_full_ends_no_run_and_what_was_written_can_be_resumed(tmp_path: Path) -> None:
    out, err = _trained(tmp_path / "full", 10, 0)
    assert "Traceback" not in err
    newest = list_checkpoints(tmp_path / "full" / CHECKPOINTS)[-1]
    assert 0 < load_checkpoint(newest)["step"] <= 10
    config = small_config(training={"epochs": 40, "max_steps": 24}, checkpoint={"every_steps": 4})
    assert run(tmp_path / "full", config, resume=True) == 0
    assert list(series(tmp_path / "full", "loss/total")) == list(range(1, 25))
    assert state_of(tmp_path / "full").step == 24
    assert out.split() == ["1"], "a run whose last checkpoint is not on disk did not end well"


def test_a_rollback_that_a_full_disk_prevents_is_refused_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(directory: Path, *, after_step: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpointer, "set_aside", refuse)
    config = small_config(training={"epochs": 40, "max_steps": 8}, checkpoint={"every_steps": 2})
    script = (ScriptedCommand(5, c.Rollback("2"), 1),)
    assert run(tmp_path / "full", config, script=script) == 0
    (refused,) = entries(tmp_path / "full", e.CommandRefused)
    assert refused.reason == "the checkpoints after step 2 cannot be set aside: No space left on device"
    assert run(tmp_path / "roomy", config) == 0
    assert same_weights(tmp_path / "full", tmp_path / "roomy"), "the training has not changed"
