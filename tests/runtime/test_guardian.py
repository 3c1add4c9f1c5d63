"""The guardian in whole runs: reactions to non-finite steps, and their records in the journal."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol import commands as c
from engine.protocol import events as e
from engine.protocol.events import Activity, Status
from engine.protocol.words.script import ScriptedCommand
from engine.runtime.checkpointer import Checkpointer
from engine.training.checkpoint.file import list_checkpoints
from engine.training.data.batch import Batch
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan
from tests.faulty import entries, long_config, poison, recovery, run, same_weights, series, state_of


def by_guardian(directory: Path, *kinds: type) -> list[object]:
    return [entry.event for entry in entries(directory, *kinds) if entry.actor == "guardian"]


def test_a_run_whose_rate_is_too_high_is_taken_back_until_it_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, "dice", lambda plan, batch: plan.step >= 11 and plan.lr > 1e-4)
    assert run(tmp_path / "run", long_config()) == 0
    state = state_of(tmp_path / "run")
    back = [entry for entry in entries(tmp_path / "run", e.RolledBack)]
    assert [entry.actor for entry in back] == ["guardian"] * state.rollbacks and state.rollbacks >= 2
    assert all("2 steps were not finite within 4" in entry.reason for entry in back)
    assert len(by_guardian(tmp_path / "run", e.LrScaled)) == state.rollbacks
    assert state.lr_scale == pytest.approx(0.5**state.rollbacks)
    assert list(series(tmp_path / "run", "loss/total")) == list(range(1, state.total_steps + 1))
    assert not any(series(tmp_path / "run", "skipped").values()), "nothing of the final lineage is lost"


def test_the_term_that_stays_bad_loses_its_refinement_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, "boundary_aware", lambda plan, batch: plan.step >= 11)
    assert run(tmp_path / "run", recovery(long_config(), max_rollbacks=1)) == 0
    (off,) = entries(tmp_path / "run", e.RefinementDisabled)
    assert off.actor == "guardian" and off.event == e.RefinementDisabled("boundary_aware_loss")
    assert "boundary_aware_loss is to blame" in off.reason
    assert state_of(tmp_path / "run").refinements == {"boundary_refinement"}


def test_where_nothing_helps_the_run_stops_with_a_diagnosis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, "dice", lambda plan, batch: plan.step >= 11)
    assert run(tmp_path / "run", long_config()) == 1
    (failed,) = entries(tmp_path / "run", e.RunFailed)
    assert isinstance(failed.event, e.RunFailed)
    assert "the guardian gives up" in failed.event.error and "after 3 attempts" in failed.event.error
    assert len(entries(tmp_path / "run", e.RolledBack)) == 3
    assert state_of(tmp_path / "run").activity is Activity.FAILED


def test_weights_that_are_not_finite_are_taken_back_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, done = TrainStep.run, [False]

    def broken(train_step: TrainStep, batches: list[Batch], plan: StepPlan) -> object:
        if plan.step == 14 and not done[0]:
            done[0] = True
            with torch.no_grad():
                next(train_step.model.parameters()).fill_(math.nan)
        return real(train_step, batches, plan)

    monkeypatch.setattr(TrainStep, "run", broken)
    assert run(tmp_path / "run", long_config(checkpoint={"every_epochs": 1})) == 0
    (back,) = entries(tmp_path / "run", e.RolledBack)
    assert back.event == e.RolledBack("step-00000014.pt", 15, 14)
    assert "weights or moments are not finite" in back.reason
    assert math.isfinite(series(tmp_path / "run", "loss/total")[15])


def test_a_damaged_last_good_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "run"

    def rule(plan: StepPlan, batch: Batch) -> bool:
        if plan.step == 14 and plan.lr > 1e-4:
            path = directory / CHECKPOINTS / "step-00000012.pt"
            path.write_bytes(path.read_bytes()[:-50])
        return plan.step >= 12 and plan.lr > 1e-4

    poison(monkeypatch, "dice", rule)
    config = recovery(long_config(checkpoint={"keep_last": 6}), lr_factor=0.1, bad_steps=3)
    assert run(directory, config) == 0
    (damaged,) = entries(directory, e.CheckpointDamaged)
    (back,) = entries(directory, e.RolledBack)
    assert isinstance(damaged.event, e.CheckpointDamaged) and damaged.event.path == "step-00000012.pt"
    assert isinstance(back.event, e.RolledBack) and "step-00000000.pt" < back.event.checkpoint < "step-00000012.pt"


def test_a_guardian_that_is_off_warns_and_the_last_stop_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, "dice", lambda plan, batch: plan.step >= 11)
    config = recovery(long_config(guard={"max_skipped_in_a_row": 6}), enabled=False)
    assert run(tmp_path / "run", config) == 1
    assert entries(tmp_path / "run", e.RolledBack, e.LrScaled) == []
    said = [entry.event for entry in entries(tmp_path / "run", e.AlertRaised)]
    warned = [alert for alert in said if isinstance(alert, e.AlertRaised) and alert.kind == "guardian is off"]
    assert len(warned) == 1 and "it would rollback, scale-lr" in warned[0].message
    (failed,) = entries(tmp_path / "run", e.RunFailed)
    assert isinstance(failed.event, e.RunFailed) and "steps in a row" in failed.event.error


@pytest.mark.slow
def test_what_a_guardian_that_was_off_only_would_have_done_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, "dice", lambda plan, batch: plan.step >= 9 and plan.lr > 1.2e-4)
    script = (ScriptedCommand(20, c.SetGuardian(True), 1),)
    config = recovery(
        long_config(training={"epochs": 20, "max_steps": 30}), enabled=False, lr_factor=0.1, stretch_steps=500
    )
    assert run(tmp_path / "run", config, script=script) == 0
    assert state_of(tmp_path / "run").rollbacks == 1 and entries(tmp_path / "run", e.RunFailed) == []


def test_the_guardian_is_switched_off_in_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(monkeypatch, "dice", lambda plan, batch: 11 <= plan.step < 14)
    script = (ScriptedCommand(5, c.SetGuardian(False), 1),)
    assert run(tmp_path / "run", long_config(), script=script) == 0
    assert entries(tmp_path / "run", e.RolledBack) == []
    assert state_of(tmp_path / "run").skipped_steps == 3
    assert state_of(tmp_path / "run").guardian is False


@pytest.mark.slow
def test_a_run_stopped_between_two_bad_steps_acts_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, "dice", lambda plan, batch: plan.step in (11, 13) and plan.lr > 1.5e-4)
    config = recovery(long_config(), lr_factor=0.25)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(whole, config) == 0
    assert run(cut, config, script=(ScriptedCommand(13, c.Stop(), 1),)) == 0
    assert run(cut, config, resume=True) == 0
    for directory in (whole, cut):
        assert len(by_guardian(directory, e.RolledBack)) == 1
    assert series(cut, "loss/total") == series(whole, "loss/total")
    assert same_weights(cut, whole)


# --- excluded samples ---------------------------------------------------------------------


def test_batches_with_an_excluded_sample_are_passed_over_and_a_resume_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, seen = long_config(training={"epochs": 6}), dict[int, tuple[str, ...]]()
    real = TrainStep.run

    def watched(train_step: TrainStep, batches: list[Batch], plan: StepPlan) -> object:
        seen[plan.step] = batches[0].sample_ids
        return real(train_step, batches, plan)

    monkeypatch.setattr(TrainStep, "run", watched)
    assert run(tmp_path / "plain", config) == 0
    plain, sample = dict(seen), seen[0][0]
    script = (ScriptedCommand(3, c.ExcludeSamples((sample,)), 1),)
    seen.clear()
    assert run(tmp_path / "whole", config, script=script) == 0
    assert len(seen) < len(plain)
    assert not any(sample in samples for step, samples in seen.items() if step >= 3)
    kept = [samples for step, samples in plain.items() if step < 3 or sample not in samples]
    assert list(seen.values()) == kept, "the others come in the same order"
    cut = (*script, ScriptedCommand(5, c.Stop(), 2))
    assert run(tmp_path / "cut", config, script=cut) == 0
    assert run(tmp_path / "cut", config, resume=True) == 0
    assert series(tmp_path / "cut", "loss/total") == series(tmp_path / "whole", "loss/total")
    assert same_weights(tmp_path / "cut", tmp_path / "whole")
    assert state_of(tmp_path / "cut").excluded_samples == {sample}


# --- before the first step ----------------------------------------------------------------


def test_a_run_has_a_good_checkpoint_before_its_first_step(tmp_path: Path) -> None:
    script = (ScriptedCommand(1, c.Rollback(), 1),)
    assert run(tmp_path / "run", long_config(checkpoint={"every_steps": 0}, training={"epochs": 1}), script=script) == 0
    first = entries(tmp_path / "run", e.CheckpointSaved)[0].event
    assert isinstance(first, e.CheckpointSaved)
    assert (first.path, first.kind, first.good) == ("step-00000000.pt", "start", True)
    (back,) = entries(tmp_path / "run", e.RolledBack)
    assert back.status is Status.APPLIED and back.event == e.RolledBack("step-00000000.pt", 1, 0)


def test_a_run_that_died_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    config, directory = long_config(training={"epochs": 2}), tmp_path / "run"
    assert run(tmp_path / "whole", config) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.training.checkpoint.writer.CheckpointWriter.submit", _dies)
        assert run(directory, config) == 1
    assert list_checkpoints(directory / CHECKPOINTS) == []
    assert run(directory, config, resume=True) == 0
    assert series(directory, "loss/total") == series(tmp_path / "whole", "loss/total")
    assert same_weights(directory, tmp_path / "whole")


def test_what_was_steered_before_a_rollback_outlives_a_crash_right_after_it(tmp_path: Path) -> None:
    directory, config, real = tmp_path / "run", long_config(training={"epochs": 6}), Checkpointer.checkpoint
    script = (
        ScriptedCommand(7, c.SetGradientClip(0.25), 1),
        ScriptedCommand(7, c.PromotePhase(force=True), 2),
        ScriptedCommand(8, c.Rollback("6"), 3),
    )

    def dying(checkpointer: Checkpointer, kind: str, **more: bool) -> None:
        if kind == "rollback":
            raise RuntimeError("killed")
        real(checkpointer, kind, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpointer, "checkpoint", dying)
        assert run(directory, config, script=script) == 1
    assert run(directory, config, resume=True) == 0
    state = state_of(directory)
    assert (state.gradient_clip, state.phase) == (0.25, 2)
    redone = [entry for entry in entries(directory, e.GradientClipSet, e.PhasePromoted) if entry.actor == "script"]
    assert [entry.step for entry in redone] == [7, 7, 6, 6]


def _dies(*args: object) -> None:
    raise RuntimeError("killed")


def test_a_resumed_run_does_not_alert_warn_or_diagnose_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, config = tmp_path / "run", recovery(long_config(training={"max_steps": 18}), enabled=False)
    poison(monkeypatch, "dice", lambda plan, batch: plan.step in (11, 12, 14))
    assert run(directory, config, script=(ScriptedCommand(13, c.Stop(), 1),)) == 0
    first = entries(directory, e.AlertRaised, e.FaultNamed)
    alerts = [entry.event.kind for entry in first if isinstance(entry.event, e.AlertRaised)]
    assert sorted(alerts) == ["fault", "guardian is off", "non-finite step"]
    assert run(directory, config, resume=True) == 0
    assert [entry.step for entry in entries(directory, e.StepSkipped)] == [12, 13, 15]
    assert entries(directory, e.AlertRaised, e.FaultNamed) == first
