"""The configuration tree: invalid values are rejected, and nothing changes after construction."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from engine.config.supervision_sections import LimitsConfig
from engine.tasks.person.config import PersonConfig, PersonLossConfig, RefinementsConfig
from engine.tasks.person.spec import LOSS_TERMS, REFINEMENTS


def test_every_refinement_has_a_switch():
    assert tuple(RefinementsConfig.model_fields) == REFINEMENTS


def test_every_loss_term_has_a_weight():
    assert tuple(PersonLossConfig().weights) == LOSS_TERMS


def test_the_active_refinements_are_those_switched_on():
    switched = RefinementsConfig.model_validate({"boundary_refinement": True, "distance_transform": True})
    assert switched.active() == {"boundary_refinement", "distance_transform"}


def test_exclusive_refinements_are_refused_together():
    with pytest.raises(ValidationError, match="exclude each other"):
        RefinementsConfig.model_validate({"progressive_upsampling": True, "subpixel_conv": True})


def test_a_loss_term_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(ValidationError, match="did you mean 'dice'"):
        PersonLossConfig(weights={"dise": 1.0})


def test_weights_that_are_not_a_mapping_are_refused():
    with pytest.raises(ValidationError, match="dict"):
        PersonLossConfig.model_validate({"weights": 3})


def test_limits_in_the_wrong_order_are_refused():
    with pytest.raises(ValidationError, match="must be below"):
        LimitsConfig(lr_min=0.1, lr_max=0.1)


def test_a_built_config_takes_sections_and_cannot_be_changed():
    config = PersonConfig(loss=PersonLossConfig(weights={"dice": 2.0}))
    assert config.loss.weights["dice"] == 2.0
    with pytest.raises(ValidationError, match="frozen"):
        config.loss.clamp_max = 3.0
