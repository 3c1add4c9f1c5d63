"""The level that a loss must fall below: the best answer that ignores the image."""

from __future__ import annotations

import math

import pytest
import torch

from engine.supervision.baseline import Baseline
from engine.tasks.person.losses.chance import blind_levels, chance_levels
from engine.tasks.person.losses.terms import term_values
from engine.tasks.person.model.outputs import Outputs

WEIGHTS = (0.54, 0.75, 1.71)


def test_the_weighted_sum_has_the_error_of_its_groups() -> None:
    baseline = Baseline({"dice": (0.6, 0.8), "cross_entropy": (1.0, 1.0)}, {"dice": 0.8, "cross_entropy": 1.1})
    level = baseline.total({"cross_entropy": 1.0, "dice": 0.5})
    assert (level.blind, level.error, level.chance) == (pytest.approx(1.35), pytest.approx(0.05), pytest.approx(1.5))


@pytest.mark.parametrize("levels", [{}, {"dice": (0.6,)}, {"contour": (0.6, 0.7)}])
def test_a_level_that_is_not_known_is_not_guessed(levels: dict[str, tuple[float, ...]]) -> None:
    assert math.isnan(Baseline(levels, {}).total({"dice": 0.5}).blind)


def test_knowing_how_frequent_each_class_is_costs_less_than_knowing_nothing_and_no_constant_costs_much_less() -> None:
    generator = torch.Generator().manual_seed(0)
    label = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), 16 * 256, True, generator=generator).view(16, 16, 16)
    distance = torch.rand(16, 1, 16, 16, generator=generator) * 2 - 1
    blind = {term: sum(values) / len(values) for term, values in blind_levels(label, distance, WEIGHTS).items()}
    uniform = chance_levels(label, distance)
    assert blind["cross_entropy"] < uniform["cross_entropy"]
    empty = torch.zeros(16, 1, 16, 16)
    for shares in torch.distributions.Dirichlet(torch.ones(3)).sample((200,)).clamp(min=1e-3):
        logs = (shares / shares.sum()).log().view(1, 3, 1, 1) + empty
        outputs = Outputs(log_probs_N3HW=logs, auxiliary_N1HW=empty, contour_N1HW=empty, distance_N1HW=empty)
        other = term_values(outputs, label, distance, ("cross_entropy",), WEIGHTS)["cross_entropy"]
        assert float(other) > blind["cross_entropy"] - 0.01


def test_a_baseline_covers_the_terms_of_which_it_knows_two_groups() -> None:
    baseline = Baseline({"a": (1.0, 1.1), "b": (1.0,)}, {})
    assert baseline.covers(("a",)) and not baseline.covers(("a", "b")) and not baseline.covers(("c",))
