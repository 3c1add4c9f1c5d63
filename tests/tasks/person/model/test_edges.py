"""The gradient magnitude and the gate made of it."""

from __future__ import annotations

import math

import pytest
import torch

from engine.tasks.person.model.edges import EPSILON, edge_gate, gradient_magnitude


def test_a_flat_map_has_no_gradient_magnitude_and_a_finite_derivative():
    flat = torch.full((2, 3, 5, 5), 0.7, requires_grad=True)
    magnitude = gradient_magnitude(flat)
    magnitude.sum().backward()
    assert magnitude.abs().max() == 0
    assert torch.equal(flat.grad, torch.zeros_like(flat))


def test_the_derivative_is_finite_and_bounded_where_only_some_neighbours_tie():
    step = torch.zeros(1, 1, 6, 6)
    step[..., 3:] = 1
    step.requires_grad_()
    gradient_magnitude(step).sum().backward()
    assert step.grad.isfinite().all() and step.grad.abs().max() <= 4


def test_a_step_is_seen_alike_from_both_sides():
    step = torch.zeros(1, 1, 6, 8)
    step[..., 4:] = 1
    row = gradient_magnitude(step)[0, 0, 2]
    expected = math.sqrt(0.5 + EPSILON) - math.sqrt(EPSILON)
    torch.testing.assert_close(row, torch.tensor([0, 0, 0, expected, expected, 0, 0, 0]))


def test_the_frame_is_no_edge():
    assert gradient_magnitude(torch.ones(1, 1, 4, 4)).abs().max() == 0


def test_it_agrees_with_a_pixel_by_pixel_reckoning():
    values = torch.rand(1, 1, 4, 5)
    expected = torch.zeros(4, 5)
    for y in range(4):
        for x in range(5):
            beside = [(y, x - 1), (y, x + 1), (y - 1, x), (y + 1, x)]
            squares = [(values[0, 0, y, x] - values[0, 0, v, u]) ** 2 for v, u in beside if 0 <= v < 4 and 0 <= u < 5]
            expected[y, x] = (sum(squares) / 2 + EPSILON) ** 0.5 - EPSILON**0.5
    torch.testing.assert_close(gradient_magnitude(values)[0, 0], expected)


def test_its_derivative_is_that_of_the_formula():
    values = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gradient_magnitude, (values,))
    assert torch.autograd.gradcheck(edge_gate, (values,))


@pytest.mark.parametrize("margin", [8.0, 12.0, 100.0, 1e4])
def test_saturated_probabilities_give_finite_derivatives(margin):
    logits = (margin * torch.sign(torch.randn(2, 3, 16, 16))).requires_grad_()
    edge_gate(logits.softmax(dim=1)).sum().backward()
    assert logits.grad.isfinite().all()


def test_the_gate_is_shut_where_nothing_changes_and_open_at_a_full_step():
    probs = torch.zeros(1, 3, 8, 8)
    probs[:, 0, :, :4], probs[:, 1, :, 4:] = 1, 1
    gate = edge_gate(probs)[0, 0]
    assert gate[:, :3].max() == 0 and gate[:, 3:5].min() > 0.85 and gate[:, 5:].max() == 0
    assert edge_gate(torch.rand(2, 3, 8, 8).softmax(dim=1)).max() <= 1


def test_the_gate_of_a_region_does_not_depend_on_its_neighbours():
    soft, sharp = torch.rand(1, 3, 8, 8).softmax(dim=1), (50 * torch.rand(1, 3, 8, 8)).softmax(dim=1)
    assert torch.equal(edge_gate(torch.cat([soft, sharp]))[:1], edge_gate(soft))
