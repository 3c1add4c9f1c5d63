"""The checks a promotion waits for."""

from __future__ import annotations

import math
import random

import pytest

from engine.config import GateConfig
from engine.guards.gate import GateWindow, gate_checks, slope_with_error
from engine.protocol.state import RunState

GATE = GateConfig(min_steps=20, window_steps=40)


def _window(losses: list[float], grad_norm: float = 1.0) -> GateWindow:
    window = GateWindow(GATE.window_steps)
    for loss in losses:
        window.add(loss=loss, grad_norm=grad_norm, finite=math.isfinite(loss))
    return window


def _red(window: GateWindow, *, step: int = 100) -> set[str]:
    return {check.name for check in gate_checks(window, RunState(run="r", step=step), GATE) if not check.passed}


def _noisy(slope: float) -> list[float]:
    rng = random.Random(0)
    return [2.0 + slope * i + rng.gauss(0, 0.05) for i in range(40)]


def test_a_calm_falling_run_passes_every_check() -> None:
    assert _red(_window(_noisy(-0.01))) == set()


def test_noise_without_a_trend_is_not_called_rising() -> None:
    assert "loss slope per 100 steps" not in _red(_window(_noisy(0.0)))


def test_a_rising_loss_is_red() -> None:
    assert "loss slope per 100 steps" in _red(_window(_noisy(0.02)))


def test_too_few_steps_in_the_phase_are_red() -> None:
    assert "steps in phase" in _red(_window(_noisy(-0.01)), step=19)


def test_a_gradient_norm_over_the_bound_is_red() -> None:
    assert "gradient norm (95 %)" in _red(_window(_noisy(-0.01), grad_norm=11.0))


def test_a_validation_that_was_not_finite_is_red_and_is_nobodys_best() -> None:
    window = _window(_noisy(-0.01))
    window.mious.append(math.nan)
    assert _red(window) == {"validation mIoU"}
    window.mious.append(0.4)
    assert _red(window) == set()


def test_one_non_finite_step_in_the_window_is_red_and_leaves_it_in_time() -> None:
    window = _window([math.nan, *_noisy(-0.01)[:20]])
    assert "non-finite steps" in _red(window)
    for loss in _noisy(-0.01):
        window.add(loss=loss, grad_norm=1.0, finite=True)
    assert "non-finite steps" not in _red(window)


def test_a_fallen_validation_miou_is_red() -> None:
    window = _window(_noisy(-0.01))
    window.mious.extend([0.50, 0.45])
    assert "validation mIoU" in _red(window)
    window.mious.append(0.49)
    assert "validation mIoU" not in _red(window)


def test_every_check_says_its_value_and_its_bound() -> None:
    for check in gate_checks(_window(_noisy(-0.01)), RunState(run="r", step=100), GATE):
        assert check.value and check.bound


def test_the_slope_of_a_line_is_exact_and_has_no_error() -> None:
    slope, error = slope_with_error([1.0 + 0.5 * i for i in range(10)])
    assert slope == pytest.approx(0.5)
    assert error == pytest.approx(0.0, abs=1e-12)
