"""What a resumed loop keeps of the run: its description, its best score, and what was decided last."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from cockpit import Cockpit
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.state import RunState
from tests.adapters.own_loop import Training, assert_same, entries, send, state_of, weights


def _train(runs: Path, epochs: int, accuracy: float, *, run: str = "one", **options: Any) -> RunState:
    """Train on to `epochs`, and report `accuracy` at the end."""
    training = Training()
    with Cockpit(training.model, training.optimizer, run=run, runs_dir=runs, **options) as cockpit:
        training.run(cockpit, epochs)
        cockpit.validated(accuracy=accuracy, error=1 - accuracy)
    return state_of(runs / run)


def test_the_best_score_and_the_terms_outlive_a_resume(runs: Path) -> None:
    before = _train(runs, 1, 0.9)
    after = _train(runs, 2, 0.6, resume=True)
    assert (after.score, after.best_score, after.best_step) == (0.6, 0.9, before.best_step)
    assert after.spec == before.spec and after.spec.term_names == ("ce",)


def test_another_score_has_no_best_value_yet(runs: Path) -> None:
    _train(runs, 1, 0.9)
    after = _train(runs, 2, 0.6, resume=True, score="error", lower_is_better=True)
    assert (after.spec.score, after.best_score, after.best_step) == ("error", pytest.approx(0.4), after.step)


def test_a_renamed_run_goes_on_under_its_new_name_from_its_newest_checkpoint(runs: Path) -> None:
    before = _train(runs, 1, 0.9)
    (runs / "one").rename(runs / "two")
    assert _train(runs, 2, 0.6, run="two", resume=True).run == "two"
    started = [entry.event for entry in entries(runs / "two") if isinstance(entry.event, e.RunStarted)]
    assert [event.resumed_from for event in started] == ["", f"step-{before.step:08d}.pt"]


def test_a_damaged_checkpoint_is_left_out_and_recorded(runs: Path) -> None:
    step = _train(runs, 2, 0.9).step
    newest = runs / "one" / "checkpoints" / f"step-{step:08d}.pt"
    newest.write_bytes(newest.read_bytes()[:1000])
    _train(runs, 2, 0.9, resume=True)
    found = [entry.event for entry in entries(runs / "one")]
    assert [event.path for event in found if isinstance(event, e.CheckpointDamaged)] == [newest.name]
    started = [event.resumed_from for event in found if isinstance(event, e.RunStarted)]
    assert started[-1] == f"step-{step // 2:08d}.pt"


def test_a_stop_keeps_what_was_decided_after_a_checkpoint_of_its_step(runs: Path) -> None:
    def leave(cockpit: Cockpit, step: int) -> None:
        if step == 3:
            for command in (c.SaveCheckpoint(), c.ScaleLr(0.1), c.Stop()):
                send(cockpit, command)

    training = Training()
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 1, leave)
    assert state_of(runs / "one").step == 4
    with training.cockpit(runs, resume=True):
        assert state_of(runs / "one").lr_scale == pytest.approx(0.1)


def test_the_end_is_recorded_after_the_checkpoints_before_it(runs: Path) -> None:
    _train(runs, 1, 0.9)
    kinds = [type(entry.event) for entry in entries(runs / "one")]
    assert kinds[-1] is e.RunFinished and kinds.count(e.CheckpointSaved) == 3


@pytest.mark.parametrize("is_drawing", [True, False])
def test_a_resume_goes_on_after_what_the_program_did_between_two_epochs(runs: Path, *, is_drawing: bool) -> None:
    """A loader draws a number for each validation, and many schedules make one step for each epoch."""

    def train(runs: Path, epochs: int, *, resume: bool = False) -> Training:
        training = Training()
        training.scheduler = None  # that of each step
        training.optimizer = torch.optim.AdamW(training.model.parameters(), lr=1e-2)
        schedule = torch.optim.lr_scheduler.ExponentialLR(training.optimizer, 0.5)
        with training.cockpit(runs, resume=resume, scheduler=schedule) as cockpit:
            for epoch in cockpit.epochs(epochs):
                training.run_epoch(cockpit)
                if is_drawing:
                    next(iter(training.loader))
                else:
                    schedule.step()
                cockpit.validated(score=-epoch)
        return training

    train(runs / "parts", 2)
    parts, whole = train(runs / "parts", 3, resume=True), train(runs / "whole", 3)
    assert_same(weights(parts.model), weights(whole.model))
    assert parts.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"]


def test_an_epoch_with_nothing_after_it_is_saved_once(runs: Path) -> None:
    training = Training()
    with training.cockpit(runs) as cockpit:
        training.run(cockpit, 2)
    saved = [entry.event.path for entry in entries(runs / "one") if isinstance(entry.event, e.CheckpointSaved)]
    assert saved == [f"step-{step:08d}.pt" for step in (0, 12, 24)]
