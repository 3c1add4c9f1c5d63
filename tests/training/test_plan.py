"""The plan of a step: which terms, which weights, how far a fresh refinement is blended in."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import pytest

from engine.protocol.events import RefinementEnabled
from engine.protocol.evolve import evolve
from engine.tasks.person.config import PersonConfig
from engine.training.step_plan import blend_in, plan_for
from tests.person_state import person_state

CONFIG = PersonConfig()
STATE = person_state(
    run="r", refinements=frozenset({"boundary_aware_loss"}), loss_weights=MappingProxyType(CONFIG.loss.weights)
)


def test_a_refinement_on_from_the_start_has_its_full_weight_at_once() -> None:
    plan = plan_for(0.1, STATE, CONFIG)
    assert plan.weights["boundary_aware"] == CONFIG.loss.weights["boundary_aware"]
    assert plan.ramps == {}


def test_terms_of_refinements_that_are_off_are_not_in_the_plan() -> None:
    assert plan_for(0.1, STATE, CONFIG).terms == ("cross_entropy", "dice", "auxiliary", "boundary_aware")


def test_a_fresh_refinement_is_blended_in_over_the_configured_steps() -> None:
    state = evolve(replace(STATE, step=100), RefinementEnabled("active_contour_loss"), 100)
    full, num_steps = CONFIG.loss.weights["active_contour"], CONFIG.loss.blend_in_steps
    weights = [
        plan_for(1.0, replace(state, step=100 + i), CONFIG).weights["active_contour"] for i in range(num_steps + 1)
    ]
    assert weights == sorted(weights)
    assert 0 < weights[0] < 0.05 * full
    assert weights[-1] == pytest.approx(full)


def test_blending_over_no_steps_is_immediate() -> None:
    assert blend_in(5, 5, 0) == 1.0


def test_the_other_refinements_are_not_ramped_when_one_comes_on() -> None:
    state = evolve(replace(STATE, step=100), RefinementEnabled("active_contour_loss"), 100)
    assert set(plan_for(1.0, state, CONFIG).ramps) == {"active_contour_loss"}


def test_shares_and_checks_are_due_every_so_many_steps() -> None:
    guard = {"share_every_steps": 4, "check_weights_every": 3, "max_grad_share": 0.25, "adaptive_clip": "agc"}
    config = PersonConfig.model_validate({"guard": guard})
    plans = [plan_for(1.0, replace(STATE, step=step), config) for step in range(13)]
    assert [plan.step for plan in plans if plan.measure_shares] == [0, 4, 8, 12]
    assert [plan.step for plan in plans if plan.check_state] == [0, 3, 6, 9, 12]
    assert {(plan.max_grad_share, plan.adaptive_clip) for plan in plans} == {(0.25, "agc")}


def test_shares_are_never_measured_where_they_are_off() -> None:
    config = PersonConfig.model_validate({"guard": {"share_every_steps": 0}})
    assert not any(plan_for(1.0, replace(STATE, step=step), config).measure_shares for step in range(12))
