"""Whole runs with batch norms and one cycle of the learning rate: stopped and resumed, and reproduced."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.host.interrupt import Interrupt
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.journal.reader import JournalReader
from engine.protocol import commands as c
from engine.protocol.script import ScriptedCommand
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from tests.small import small_config

CONFIG = small_config(model={"norm": "batch"}, training={"epochs": 3, "schedule": "one_cycle"})


def run(directory: Path, **more: Any) -> Path:
    directory.mkdir(exist_ok=True)
    assert train(RunRequest(directory, more.pop("config", CONFIG), device="cpu", **more), Interrupt()) == 0
    return directory


def newest(directory: Path) -> dict[str, Any]:
    return load_checkpoint(list_checkpoints(directory / CHECKPOINTS)[-1])


def series(directory: Path, name: str) -> dict[int, float]:
    with closing(JournalReader(directory)) as reader:
        found = reader.series((name,))
    there = found.present[name]
    return dict(zip(found.steps[there].tolist(), found.values[name][there].tolist(), strict=True))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("runs") / "finished")


@pytest.mark.parametrize("after", [2, 3])
def test_a_stopped_run_goes_on_as_if_it_had_never_stopped(finished: Path, tmp_path: Path, after: int) -> None:
    stopped = run(tmp_path / "stopped", script=(ScriptedCommand(after, c.Stop(), 1),))
    assert max(series(stopped, "loss/total")) == after
    run(stopped, resume=True)
    for name in ("loss/total", "lr", "val/loss", "val/miou"):
        assert series(stopped, name) == series(finished, name), name
    assert same(newest(stopped)["model"], newest(finished)["model"])
