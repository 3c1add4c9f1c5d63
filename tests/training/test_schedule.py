"""The learning rate over progress: warm-up, cosine, floor, and what was set by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR

from engine.config.sections import OneCycleConfig, TrainingConfig
from engine.protocol.state import LrPin
from engine.training.step_plan import learning_rate, scheduled_lr

STABLE = TrainingConfig(learning_rate=5e-6, min_learning_rate=1e-8, warmup_epochs=15.0, epochs=100)
ONE_CYCLE = TrainingConfig(learning_rate=3e-3, epochs=10, schedule="one_cycle")


def test_warm_up_rises_linearly_and_reaches_the_peak_at_its_end() -> None:
    assert scheduled_lr(7.5, STABLE) == pytest.approx(2.5e-6)
    assert scheduled_lr(15.0, STABLE) == pytest.approx(5e-6)


def test_the_first_step_already_learns() -> None:
    assert scheduled_lr(1 / 220, STABLE) > 0


def test_the_cosine_falls_to_the_floor_and_never_rises_beyond_it() -> None:
    rates = [scheduled_lr(15 + 0.5 * i, STABLE) for i in range(200)]
    assert all(later <= earlier for earlier, later in pairwise(rates))
    assert rates[-1] == pytest.approx(1e-8)


def test_halfway_through_the_decay_the_rate_is_halfway() -> None:
    middle = scheduled_lr(57.5, STABLE)
    assert middle == pytest.approx((5e-6 + 1e-8) / 2)


def test_more_epochs_stretch_the_decay_instead_of_going_round_the_cosine_again() -> None:
    longer = STABLE.model_copy(update={"epochs": 200})
    rates = [scheduled_lr(100 + i, longer) for i in range(101)]
    assert rates == sorted(rates, reverse=True)


def test_a_scale_multiplies_the_whole_schedule() -> None:
    assert learning_rate(3.0, STABLE, scale=0.25) == pytest.approx(0.25 * scheduled_lr(3.0, STABLE))


def test_a_pinned_rate_holds_through_the_rest_of_warm_up_and_decays_after_it() -> None:
    pin = LrPin(1e-6, at_epoch=2.0)
    assert learning_rate(2.0, STABLE, pin=pin) == pytest.approx(1e-6)
    assert learning_rate(14.9, STABLE, pin=pin) == pytest.approx(1e-6)
    assert learning_rate(57.5, STABLE, pin=pin) == pytest.approx(1e-6 * scheduled_lr(57.5, STABLE) / 5e-6)


def test_a_rate_pinned_late_is_exactly_what_was_asked_for() -> None:
    pin = LrPin(1e-6, at_epoch=99.0)
    assert learning_rate(99.0, STABLE, pin=pin) == pytest.approx(1e-6)
    assert learning_rate(100.0, STABLE, pin=pin) < 1e-6


def test_a_pinned_rate_is_never_exceeded_even_after_a_rollback_to_before_it() -> None:
    assert learning_rate(20.0, STABLE, pin=LrPin(1e-6, at_epoch=90.0)) == pytest.approx(1e-6)


@pytest.mark.parametrize("warmup", [0.0, 100.0, 150.0])
def test_every_length_of_warm_up_gives_finite_positive_rates(warmup: float) -> None:
    training = STABLE.model_copy(update={"warmup_epochs": warmup})
    for progress in (0.001, 50.0, 100.0):
        rate = scheduled_lr(progress, training)
        assert math.isfinite(rate) and rate > 0


@pytest.mark.parametrize("cycle", [OneCycleConfig(), OneCycleConfig(pct_start=0.1, div_factor=5, final_div_factor=100)])
def test_one_cycle_is_that_of_torch_up_to_its_count_of_steps(cycle: OneCycleConfig) -> None:
    """Torch's rise ends one step earlier, since it counts from the rate of a step zero."""
    training, count = ONE_CYCLE.model_copy(update={"one_cycle": cycle}), 2000
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)])
    their = OneCycleLR(optimizer, training.learning_rate, count, **cycle.model_dump())
    for step in range(count):
        mine = scheduled_lr((step + 1) / count * training.epochs, training)
        assert mine == pytest.approx(their.get_last_lr()[0], rel=1e-4, abs=3e-5)
        optimizer.step()
        their.step()


@pytest.mark.parametrize("pct_start", [0.0, 0.3, 1.0])
def test_one_cycle_has_positive_rates_up_to_its_highest(pct_start: float) -> None:
    training = ONE_CYCLE.model_copy(update={"one_cycle": OneCycleConfig(pct_start=pct_start)})
    rates = [scheduled_lr(0.01 * i, training) for i in range(1, 1001)]
    assert min(rates) > 0 and max(rates) == pytest.approx(3e-3, rel=1e-3)


def test_a_rate_pinned_in_one_cycle_holds_through_the_rise_and_falls_like_the_schedule() -> None:
    pin = LrPin(1e-3, at_epoch=1.0)
    assert learning_rate(1.0, ONE_CYCLE, pin=pin) == learning_rate(3.0, ONE_CYCLE, pin=pin) == pytest.approx(1e-3)
    assert learning_rate(6.5, ONE_CYCLE, pin=pin) == pytest.approx(scheduled_lr(6.5, ONE_CYCLE) / 3)
    late = LrPin(1e-6, at_epoch=9.9)
    assert learning_rate(9.9, ONE_CYCLE, pin=late) == pytest.approx(1e-6)
    assert learning_rate(2.0, ONE_CYCLE, scale=0.5, pin=late) == pytest.approx(5e-7)


def test_more_epochs_stretch_one_cycle_from_the_progress_that_is_done() -> None:
    longer = ONE_CYCLE.model_copy(update={"epochs": 20})
    assert scheduled_lr(10.0, ONE_CYCLE) < 1e-7
    assert scheduled_lr(6.0, longer) == pytest.approx(3e-3)
    rates = [scheduled_lr(10 + 0.1 * i, longer) for i in range(101)]
    assert rates == sorted(rates, reverse=True) and rates[-1] == pytest.approx(3e-3 / 25 / 1e4)


def test_a_rate_pinned_at_the_end_of_a_decay_to_zero_holds_after_a_rollback() -> None:
    config = TrainingConfig(min_learning_rate=0.0, epochs=10)
    pin = LrPin(1e-4, at_epoch=10.0)
    assert [learning_rate(progress, config, pin=pin) for progress in (5.0, 9.5, 10.0)] == [1e-4] * 3
