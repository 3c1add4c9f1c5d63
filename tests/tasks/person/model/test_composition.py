"""Two decisions into three classes."""

from __future__ import annotations

import math

import pytest
import torch

from engine.tasks.person.model.composition import composed_log_probs, shifted_log_probs


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4])
def test_the_three_probabilities_sum_to_one(scale):
    log_probs = composed_log_probs(scale * torch.randn(2, 2, 5, 5), scale * torch.randn(2, 2, 5, 5))
    torch.testing.assert_close(log_probs.exp().sum(dim=1), torch.ones(2, 5, 5))


def test_target_and_other_share_what_the_first_head_calls_foreground():
    foreground = torch.randn(2, 2, 5, 5)
    probs = composed_log_probs(foreground, torch.randn(2, 2, 5, 5)).exp()
    torch.testing.assert_close(probs[:, 1:].sum(dim=1), foreground.softmax(dim=1)[:, 1])


def test_undecided_heads_do_not_lean_to_the_foreground():
    probs = composed_log_probs(torch.zeros(1, 2, 1, 1), torch.zeros(1, 2, 1, 1)).exp().flatten()
    torch.testing.assert_close(probs, torch.tensor([0.5, 0.25, 0.25]))


@pytest.mark.parametrize("logits", [torch.full((1, 2, 3, 3), 1e4), torch.tensor([1e4, -1e4]).reshape(1, 2, 1, 1)])
def test_log_probabilities_and_gradients_are_finite_when_saturated(logits):
    heads = [logits.clone().requires_grad_(), logits.clone().requires_grad_()]
    log_probs = composed_log_probs(heads[0], heads[1])
    log_probs.sum().backward()
    assert log_probs.isfinite().all() and all(head.grad.isfinite().all() for head in heads)


def test_both_heads_have_the_gradient_of_the_formula():
    heads = [torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(composed_log_probs, heads)


def test_a_shift_is_in_the_logits_and_the_result_is_normalised():
    log_probs = torch.full((1, 3, 2, 2), -math.log(3))
    shift = torch.tensor([0.0, math.log(2), 0.0]).reshape(1, 3, 1, 1)
    torch.testing.assert_close(shifted_log_probs(log_probs, shift).exp()[0, :, 0, 0], torch.tensor([0.25, 0.5, 0.25]))


def test_a_shift_has_the_gradient_of_the_formula():
    inputs = [torch.randn(2, 3, 3, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(shifted_log_probs, inputs)
