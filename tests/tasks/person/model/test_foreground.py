"""The foreground head and its gate."""

from __future__ import annotations

import pytest
import torch

from engine.tasks.person.model.foreground import ForegroundGate, ForegroundHead


@pytest.mark.parametrize("scale", [1, 2])
def test_the_coarse_logits_are_the_means_of_the_fine_ones(stirred, scale):
    head = ForegroundHead(4, scale=scale)
    stirred(head)
    fine, coarse = head(torch.rand(2, 4, 8, 8))
    assert fine.shape == (2, 2, 8 * scale, 8 * scale) and coarse.shape == (2, 2, 8, 8)
    torch.testing.assert_close(coarse, fine.reshape(2, 2, 8, scale, 8, scale).mean(dim=(3, 5)))


def test_the_confidence_of_the_features_reaches_the_logits():
    head = ForegroundHead(4, scale=2)
    features = torch.randn(1, 4, 8, 8)
    bias = head.classify.bias.reshape(1, 2, 1, 1)
    torch.testing.assert_close(head(10 * features)[0] - bias, 10 * (head(features)[0] - bias), atol=1e-5, rtol=1e-4)


def test_the_gate_weighs_every_channel_within_zero_and_one():
    gate = ForegroundGate(8, decoded=3, dropout=0.0)
    torch.nn.init.zeros_(gate.context.weight)
    torch.nn.init.zeros_(gate.context.bias)
    weights = gate(torch.ones(2, 8, 4, 4), 100 * torch.randn(2, 2, 4, 4), torch.randn(2, 3, 4, 4))
    assert weights.shape == (2, 8, 4, 4)
    assert weights.min() >= 0 and weights.max() <= 1


def test_the_decoded_features_reach_the_target_branch_even_through_a_closed_gate():
    gate = ForegroundGate(8, decoded=3, dropout=0.0)
    decoded = torch.randn(1, 3, 4, 4, requires_grad=True)
    gate(torch.zeros(1, 8, 4, 4), torch.zeros(1, 2, 4, 4), decoded).sum().backward()
    assert decoded.grad is not None and decoded.grad.abs().min() > 0
