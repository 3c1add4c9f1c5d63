"""The two clamps."""

from __future__ import annotations

import math

import pytest
import torch

from engine.training.loss_sum import clamp_loss


def clamped(value: float, mode: str) -> tuple[float, float]:
    x = torch.tensor(value, requires_grad=True)
    y = clamp_loss(3 * x, 10.0, mode)
    y.backward()
    return float(y.detach()), float(x.grad)


@pytest.mark.parametrize("mode", ["hard", "rescale"])
@pytest.mark.parametrize("value", [0.0, 1.0, 3.3])
def test_below_the_bound_nothing_changes(mode, value):
    assert clamped(value, mode) == (pytest.approx(3 * value), 3.0)


def test_above_the_bound_hard_has_no_gradient():
    assert clamped(20.0, "hard") == (10.0, 0.0)


@pytest.mark.parametrize("value", [4.0, 20.0, 1e6, 1e30])
def test_above_the_bound_rescale_is_bounded_and_keeps_the_direction(value):
    result, gradient = clamped(value, "rescale")
    assert result == pytest.approx(10.0)
    assert 0 < gradient <= 3.0
    assert gradient == pytest.approx(3.0 * 10.0 / (3 * value), rel=1e-5)


@pytest.mark.parametrize("mode", ["hard", "rescale"])
def test_nan_stays_nan(mode):
    assert math.isnan(float(clamp_loss(torch.tensor(math.nan), 10.0, mode)))


def test_rescale_does_not_hide_an_infinite_loss():
    assert math.isnan(float(clamp_loss(torch.tensor(math.inf), 10.0, "rescale")))


def test_rescale_turns_the_gradient_of_a_vector_by_nothing():
    x = torch.tensor([3.0, -4.0, 12.0], requires_grad=True)
    clamp_loss((x**2).sum(), 10.0, "rescale").backward()
    torch.testing.assert_close(x.grad / x.grad.norm(), (x / x.norm()).detach())
