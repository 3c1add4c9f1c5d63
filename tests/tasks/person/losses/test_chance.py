"""Chance levels."""

from __future__ import annotations

import math

import pytest
import torch

from engine.tasks.person.config import ModelConfig
from engine.tasks.person.losses.chance import chance_levels
from engine.tasks.person.losses.terms import term_values
from engine.tasks.person.model.network import HierarchicalUNet
from engine.tasks.person.spec import LOSS_TERMS, active_terms, refinements_of


def test_every_term_has_one(label_NHW, distance_N1HW):
    levels = chance_levels(label_NHW, distance_N1HW)
    assert tuple(levels) == LOSS_TERMS and all(type(level) is float for level in levels.values())


def test_they_are_the_logarithms_of_the_number_of_choices(label_NHW, distance_N1HW):
    levels = chance_levels(label_NHW, distance_N1HW)
    for term, choices in {"cross_entropy": 3, "boundary_aware": 3, "auxiliary": 2, "contour": 2}.items():
        assert levels[term] == pytest.approx(math.log(choices))


def test_those_of_dice_region_and_distance_follow_the_labels(label_NHW, distance_N1HW):
    levels = chance_levels(label_NHW, distance_N1HW)
    num_pixels, target, other = label_NHW.numel(), int((label_NHW == 1).sum()), int((label_NHW == 2).sum())
    dice = [1 - (2 * size / 3 + 1) / (num_pixels / 3 + size + 1) for size in (target, other)]
    assert levels["dice"] == pytest.approx(sum(dice) / 2, rel=1e-5)
    share = target / num_pixels
    assert levels["active_contour"] == pytest.approx(share * 2 / 3 + (1 - share) / 3, rel=1e-5)
    gap = distance_N1HW.abs()
    assert levels["distance"] == pytest.approx(float(torch.where(gap < 0.1, gap**2 / 0.2, gap - 0.05).mean()), rel=1e-5)


def test_a_new_network_starts_there(label_NHW, distance_N1HW):
    config = ModelConfig(
        roi_size=32, mask_size=32, extractor_widths=(8, 16), unet_width=8, unet_depth=2, auxiliary_width=8
    )
    active = refinements_of(4)
    pad = torch.nn.functional.pad
    label, distance = pad(label_NHW, (4, 4, 4, 4)), pad(distance_N1HW, (4, 4, 4, 4), value=-1.0)
    outputs = HierarchicalUNet(config)(torch.rand(2, 3, 32, 32), active)
    levels = chance_levels(label, distance)
    for term, value in term_values(outputs, label, distance, active_terms(active)).items():
        assert float(value.detach()) == pytest.approx(levels[term], abs=0.05), term
