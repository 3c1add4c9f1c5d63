"""The class-weighted cross-entropy against torch's own."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from engine.tasks.person.losses.class_losses import cross_entropy

WEIGHTS = (0.54, 0.75, 1.71)


def _example(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    log_probs = torch.randn(3, 3, 8, 8, dtype=dtype).log_softmax(1)
    return log_probs, torch.randint(0, 3, (3, 8, 8))


@pytest.mark.parametrize("weights", [WEIGHTS, (1.0, 1.0, 1.0)])
def test_it_is_torchs_weighted_mean(weights):
    log_probs, label = _example()
    torch.testing.assert_close(
        cross_entropy(log_probs, label, weights), F.nll_loss(log_probs, label, torch.tensor(weights))
    )


def test_its_chance_level_does_not_depend_on_the_weights():
    label = _example()[1]
    uniform = torch.full((3, 3, 8, 8), -math.log(3))
    assert float(cross_entropy(uniform, label, WEIGHTS)) == pytest.approx(math.log(3))


def test_a_rare_class_pulls_harder_with_its_weight():
    log_probs, label = torch.zeros(1, 3, 4, 4).log_softmax(1), torch.zeros(1, 4, 4, dtype=torch.int64)
    label[0, 0, 0] = 2
    pulls = []
    for weights in (WEIGHTS, (1.0, 1.0, 1.0)):
        leaf = log_probs.clone().requires_grad_()
        cross_entropy(leaf, label, weights).backward()
        pulls.append(float(-leaf.grad[0, 2, 0, 0]))
    assert pulls[0] > 1.5 * pulls[1]


def test_its_gradient_is_that_of_finite_differences():
    log_probs, label = _example(torch.float64)
    leaf = log_probs[:1, :, :3, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: cross_entropy(x, label[:1, :3, :3], WEIGHTS), leaf)
