"""Weights and moments are checked before an update, also in inactive parts, and non-finite ones are named."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from engine.tasks.person.model.network import HierarchicalUNet
from engine.tasks.person.spec import REFINEMENTS, refinements_of
from engine.training.gradients.step_report import StepReport
from engine.training.optimizer import build_optimizer, load_moments, moments_of
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan, plan_for
from tests.person_state import person_state
from tests.small import random_batch, small_config, train_step_of

CONFIG = small_config(model={"dropout": 0.0})


def _plan(step: int) -> StepPlan:
    state = person_state(run="r", step=step, refinements=refinements_of(1), loss_weights=CONFIG.loss.weights)
    return plan_for(1.0, state, CONFIG)


def _stepper() -> TrainStep:
    torch.manual_seed(0)
    model = HierarchicalUNet(CONFIG.model)
    train_step = train_step_of(CONFIG, model)
    _run(train_step, 0)
    return train_step


def _run(train_step: TrainStep, step: int) -> StepReport:
    return train_step.run([random_batch(CONFIG)], _plan(step)).resolve()


def _spoil(train_step: TrainStep, part: str, moment: str, bad: float) -> None:
    parameter = next(train_step.model.parts()[part].parameters())
    _spoil_first(train_step.optimizer.state[parameter][moment], bad)


def _spoil_first(tensor: Tensor, bad: float) -> None:
    with torch.no_grad():
        tensor[(0,) * tensor.ndim] = bad


def _weights(train_step: TrainStep) -> dict[str, Tensor]:
    return copy.deepcopy(train_step.model.state_dict())


def _same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("moment", ["exp_avg", "exp_avg_sq"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_bad_moment_is_named_before_it_reaches_a_weight(moment: str, bad: float) -> None:
    train_step = _stepper()
    _spoil(train_step, "gate", moment, bad)
    before = _weights(train_step)
    report = _run(train_step, CONFIG.guard.check_weights_every)
    assert not report.finite and not report.weights_finite
    assert report.bad_moments == ("gate",) and report.bad_weights == () and report.bad_modules == ()
    assert _same(before, _weights(train_step))
    again = _run(train_step, CONFIG.guard.check_weights_every + 1)
    assert again.bad_moments == ("gate",) and not again.finite, "nothing moves while it stays"
    assert _same(before, _weights(train_step))


def test_moments_that_were_just_loaded_are_checked_at_once() -> None:
    train_step = _stepper()
    _spoil(train_step, "unet", "exp_avg", math.nan)
    loaded = build_optimizer("adamw", train_step.model.parts(), 1e-4, REFINEMENTS)
    load_moments(loaded, train_step.model, moments_of(train_step.optimizer, train_step.model))
    train_step.optimizer = loaded
    assert _run(train_step, 1).bad_moments == ("unet",)


def test_between_checks_a_bad_moment_spoils_its_own_weight_alone_and_that_is_named_at_the_next_step() -> None:
    train_step = _stepper()
    _spoil(train_step, "gate", "exp_avg", math.nan)
    assert _run(train_step, 1).finite
    assert sum(int((~torch.isfinite(value)).sum()) for value in train_step.model.state_dict().values()) == 1
    report = _run(train_step, 2)
    assert not report.finite and report.bad_weights == ("gate",)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_bad_weight_of_a_part_in_use_is_named_at_once(bad: float) -> None:
    train_step = _stepper()
    _spoil_first(next(train_step.model.parts()["target_branch"].parameters()), bad)
    before = copy.deepcopy(moments_of(train_step.optimizer, train_step.model))
    report = _run(train_step, 1)
    assert not report.finite and report.bad_weights == ("target_branch",)
    after = moments_of(train_step.optimizer, train_step.model)
    assert all(_same(before[name], after[name]) for name in before)


def test_a_bad_weight_of_a_part_that_is_off_is_found_by_the_check() -> None:
    train_step = _stepper()
    _spoil_first(next(train_step.model.parts()["distance_transform"].parameters()), math.nan)
    assert _run(train_step, 1).finite, "it takes part in nothing"
    report = _run(train_step, CONFIG.guard.check_weights_every)
    assert not report.finite and report.bad_weights == ("distance_transform",)
    assert report.bad_terms == () and report.bad_modules == ()


def test_after_the_repair_training_goes_on() -> None:
    train_step = _stepper()
    kept = copy.deepcopy(moments_of(train_step.optimizer, train_step.model))
    _spoil(train_step, "gate", "exp_avg", math.nan)
    assert not _run(train_step, 10).finite
    train_step.optimizer = build_optimizer("adamw", train_step.model.parts(), 1e-4, REFINEMENTS)
    load_moments(train_step.optimizer, train_step.model, kept)
    before = _weights(train_step)
    assert _run(train_step, 11).finite
    assert not _same(before, _weights(train_step))


def test_the_check_changes_no_bit_of_the_update() -> None:
    checked, plain = _stepper(), _stepper()
    _run(checked, 10)
    plain.run([random_batch(CONFIG)], replace(_plan(10), check_state=False, measure_shares=False))
    assert _same(_weights(checked), _weights(plain))
