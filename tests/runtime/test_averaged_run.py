"""Whole runs with averaged weights, batch norms and one cycle: stopped, resumed, rolled back and reproduced."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.journal.disk.run_dir import CHECKPOINTS
from engine.journal.reader import JournalReader
from engine.outputs.reproduction_report import ReproductionRequest
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.reproduce.reproduce import reproduce
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.runtime.validator import validation_plan
from engine.training.averaging import AVERAGED, AVERAGING
from engine.training.checkpoint.content import load_resumable
from engine.training.checkpoint.file import (
    CheckpointDamagedError,
    Snapshot,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from engine.training.data.stream import BatchStream
from engine.training.inference.trained_model import open_trained
from engine.training.loss_sum import Objective
from engine.training.validation.evaluate import evaluate
from tests.person_state import person_state
from tests.small import small_config

TRAINING = {"epochs": 3, "schedule": "one_cycle", "averaging": "ema", "ema_decay": 0.9}
CONFIG = small_config(model={"norm": "batch"}, training=TRAINING)
SWA = small_config(training={"epochs": 3, "averaging": "swa", "swa_start": 0.3, "swa_every_steps": 1})


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


@pytest.fixture(scope="module")
def finished_swa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("runs") / "finished", config=SWA)


def assert_equal_runs(one: Path, other: Path) -> None:
    for name in ("loss/total", "lr", "val/loss", "val/miou"):
        assert series(one, name) == series(other, name), name
    mine, theirs = newest(one), newest(other)
    assert same(mine["model"], theirs["model"]) and same(mine[AVERAGED], theirs[AVERAGED])
    assert mine[AVERAGING] == theirs[AVERAGING]


def test_a_stopped_run_goes_on_as_if_it_had_never_stopped(finished: Path, tmp_path: Path) -> None:
    stopped = run(tmp_path / "stopped", script=(ScriptedCommand(3, c.Stop(), 1),))
    assert max(series(stopped, "loss/total")) == 3
    run(stopped, resume=True)
    assert_equal_runs(stopped, finished)


@pytest.mark.slow
def test_so_does_one_with_swa_that_was_stopped_in_its_tail(finished_swa: Path, tmp_path: Path) -> None:
    stopped = run(tmp_path / "stopped", config=SWA, script=(ScriptedCommand(4, c.Stop(), 1),))
    run(stopped, config=SWA, resume=True)
    assert_equal_runs(stopped, finished_swa)


def test_what_is_validated_is_the_average_and_the_trained_weights_go_on(finished: Path, tmp_path: Path) -> None:
    plain_training = {**TRAINING, "averaging": "none"}
    plain = run(tmp_path / "plain", config=small_config(model={"norm": "batch"}, training=plain_training))
    assert series(plain, "loss/total") == series(finished, "loss/total")
    assert same(newest(plain)["model"], newest(finished)["model"]) and AVERAGED not in newest(plain)
    assert series(plain, "val/loss") != series(finished, "val/loss")
    trained, averaged = (open_trained(finished, device="cpu", weights=kind) for kind in ("trained", None))
    assert averaged.weights == "averaged"
    for opened, directory in ((averaged, finished), (trained, plain)):
        splits, state = opened.task.open_data(opened.config), person_state(loss_weights=opened.config.loss.weights)
        plan = validation_plan(replace(state, refinements=opened.components), opened.config, frozenset())
        stream = BatchStream(splits.val, batch_size=4, num_workers=0)
        with closing(stream):
            found = evaluate(Objective(opened.task, opened.config), opened.model, stream, plan)
        assert found is not None and float(np.float32(found.loss)) == series(directory, "val/loss")[opened.step]


def test_swa_validates_the_trained_weights_until_it_begins(finished_swa: Path, tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", config=small_config(training={"epochs": 3}))
    mine, theirs = (series(directory, "val/loss") for directory in (finished_swa, plain))
    steps = sorted(mine)
    assert mine[steps[0]] != theirs[steps[0]] or mine[steps[-1]] != theirs[steps[-1]]
    assert newest(finished_swa)[AVERAGING]["kind"] == "swa"


@pytest.mark.slow
def test_a_rollback_a_promotion_and_a_reproduction_have_the_same_averages(tmp_path: Path) -> None:
    config = small_config(model={"norm": "batch"}, training=TRAINING, checkpoint={"every_steps": 1, "keep_last": 9})
    script = (
        ScriptedCommand(2, c.EnableRefinement("contour_detection"), 1),
        ScriptedCommand(4, c.Rollback("3"), 2),
        ScriptedCommand(4, c.Validate(), 3),
    )
    directory = run(tmp_path / "run", config=config, script=script)
    report = reproduce(ReproductionRequest(directory, directory.parent, "again"), Interrupt())
    assert report.identical and report.difference is None and report.tensor == ""
    assert same(newest(directory)[AVERAGED], newest(tmp_path / "again")[AVERAGED])


def test_an_older_checkpoint_begins_the_average_at_its_weights_and_says_so(tmp_path: Path) -> None:
    config = small_config(training={"epochs": 2})
    older = run(tmp_path / "older", config=config, script=(ScriptedCommand(2, c.Stop(), 1),))
    run(older, config=small_config(training={"epochs": 2, "averaging": "ema"}), resume=True)
    with closing(JournalReader(older)) as reader:
        notes = [entry.event.text for entry in reader.events() if isinstance(entry.event, e.NoteAdded)]
    assert notes == ["the average of weights (ema) begins at step 2: its checkpoint holds none"]
    assert newest(older)[AVERAGING]["counts"]["extractor"] == newest(older)["step"] - 2


def test_a_run_begins_with_the_averaged_weights_of_another(finished: Path, tmp_path: Path) -> None:
    begun = run(tmp_path / "begun", init_from=str(finished / CHECKPOINTS / "best.pt"))
    with closing(JournalReader(begun)) as reader:
        (inherited,) = (entry.event for entry in reader.events() if isinstance(entry.event, e.WeightsInherited))
    assert inherited.averaged and inherited.missing == inherited.unexpected == ()


def _damaged(payload: dict[str, Any], how: str) -> None:
    averaged: dict[str, torch.Tensor] = payload[AVERAGED]
    match how:
        case "a tensor is missing":
            del averaged["extractor.layers.0.0.weight"]
        case "a tensor has another shape":
            averaged["extractor.layers.0.0.weight"] = torch.zeros(1)
        case "a tensor is not finite":
            averaged["extractor.layers.0.0.bias"].fill_(torch.nan)
        case "its kind is missing":
            payload[AVERAGING] = None
        case _:
            payload[AVERAGING]["counts"]["extractor"] = -1


DAMAGES = (
    "a tensor is missing",
    "a tensor has another shape",
    "a tensor is not finite",
    "its kind is missing",
    "count",
)


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_average_is_a_damaged_checkpoint(finished: Path, tmp_path: Path, how: str) -> None:
    payload = newest(finished)
    _damaged(payload, how)
    path = save_checkpoint(tmp_path, Snapshot(payload["step"], "epoch", payload, 0.0, None, good=True, best=False))
    with pytest.raises(CheckpointDamagedError, match=r"average|not finite"):
        load_resumable(path, CONFIG)
