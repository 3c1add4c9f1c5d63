"""Failures without a skipped step: a non-finite validation or last update, or no samples left."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import engine.tasks.person.losses.terms
import engine.training.step
import engine.training.validation.evaluate
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.words.script import ScriptedCommand
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.data.sources import open_splits
from engine.training.checkpoint.file import BEST
from tests.faults.planted import in_moment, plant
from tests.faulty import entries, long_config, run, state_of


def _reason(directory: Path) -> str:
    (failed,) = (entry.event for entry in entries(directory, e.RunFailed))
    assert isinstance(failed, e.RunFailed)
    return failed.error


def _validations(directory: Path) -> list[e.AlertRaised]:
    alerts = (entry.event for entry in entries(directory, e.AlertRaised))
    return [alert for alert in alerts if isinstance(alert, e.AlertRaised) and alert.kind == "validation"]


def _spoil_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = engine.tasks.person.losses.terms.term_values

    def spoilt(*args: object) -> dict[str, torch.Tensor]:
        found = honest(*args)  # type: ignore[arg-type]
        return found if torch.is_grad_enabled() else {**found, "dice": found["dice"] * math.nan}

    monkeypatch.setattr(engine.tasks.person.losses.terms, "term_values", spoilt)


def test_a_validation_that_is_not_finite_is_an_alert_is_never_the_best_and_closes_the_gate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _spoil_validation(monkeypatch)
    assert run(tmp_path / "run", long_config(training={"epochs": 4}, validation={"every_epochs": 1})) == 0
    (alert,) = _validations(tmp_path / "run")
    assert "the validation at step 2 is not finite in dice" in alert.message and "synthetic/val/" in alert.message
    state = state_of(tmp_path / "run")
    assert state.best_score is None and not (tmp_path / "run" / CHECKPOINTS / BEST).exists()
    assert [check.name for check in state.gate if not check.passed and "mIoU" in check.name] == ["validation mIoU"]


def test_weights_that_the_last_update_spoilt_are_no_good_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, {14: in_moment("unet", "exp_avg", math.nan)})
    assert run(tmp_path / "run", _steps(15)) == 1
    assert "at its end, step 15, weights or moments of the run are not finite" in _reason(tmp_path / "run")
    monkeypatch.undo()
    assert run(tmp_path / "run", _steps(18), resume=True) == 0
    assert state_of(tmp_path / "run").step == 18
    (back,) = (entry.event for entry in entries(tmp_path / "run", e.RolledBack))
    assert back == e.RolledBack("step-00000014.pt", 16, 14)


def _steps(count: int) -> PersonConfig:
    training = {"epochs": 20, "warmup_epochs": 0.5, "max_steps": count}
    return long_config(training=training, checkpoint={"every_epochs": 1})


def test_a_run_whose_samples_are_all_excluded_does_not_end_well(tmp_path: Path) -> None:
    config = long_config(training={"epochs": 5})
    train = open_splits(config.data, config.model, config.training.seed).train
    everything = tuple(train.sample(0, index).sample_id for index in range(len(train)))
    script = [ScriptedCommand(3, c.ExcludeSamples(everything), 1)]
    assert run(tmp_path / "run", config, script=script) == 1
    assert _reason(tmp_path / "run") == (
        f"every batch of epoch 3 holds one of {len(everything)} excluded samples: nothing is left to train on; start a "
        "new run with smaller batches or other data"
    )
    assert state_of(tmp_path / "run").step == 3


def test_a_run_that_only_skips_steps_names_the_place_and_what_to_disable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = engine.tasks.person.losses.terms.term_values

    def spoilt(*args: object) -> dict[str, torch.Tensor]:
        found = honest(*args)  # type: ignore[arg-type]
        return {**found, "boundary_aware": found["boundary_aware"] * math.nan} if torch.is_grad_enabled() else found

    monkeypatch.setattr(engine.tasks.person.losses.terms, "term_values", spoilt)
    guard = {"max_skipped_in_a_row": 6, "recovery": {"enabled": False}}
    assert run(tmp_path / "run", long_config(guard=guard)) == 1
    assert _reason(tmp_path / "run") == (
        "6 steps in a row were not finite, the last at step 6: mul in boundary_aware (forward), loss term "
        "boundary_aware; resume from step-00000000.pt with a lower learning rate, or with boundary_aware_loss disabled"
    )
