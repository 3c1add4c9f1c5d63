"""Spikes: the score of a rule, the extent of one event, and the effect of an intervention."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from engine.supervision.median_rule import MedianRule, SpikeScore
from engine.supervision.spikes import SpikeDetector, Tolerance
from tests.benchmarks.zscore_rule import ZScoreRule


def _calm(count: int, *, seed: int = 0, level: float = 1.0, spread: float = 0.1) -> list[float]:
    rng = random.Random(seed)
    return [level * math.exp(rng.gauss(0, spread)) for _ in range(count)]


def _detector(tolerance: Tolerance | None = None) -> SpikeDetector:
    return SpikeDetector({"loss": MedianRule(), "norm": MedianRule()}, tolerance or Tolerance())


def _fired(detector: SpikeDetector, values: list[float], metric: str = "loss") -> list[int]:
    return [i for i, value in enumerate(values) if detector.observe({metric: value})]


@pytest.mark.parametrize("seed", range(20))
def test_the_median_rule_scores_by_the_median_and_its_absolute_deviation(seed: int) -> None:
    rng, rule, past = random.Random(seed), MedianRule(window=30, warmup=5, floor=1e-9), []
    for _ in range(120):
        value = rng.choice([1.0, 2.0, rng.uniform(0.1, 5)])
        reading = rule.read(value)
        if len(past) >= 5:
            newest = past[-30:]
            centre = statistics.median(newest)
            deviation = sorted(abs(level - centre) for level in newest)[len(newest) // 2]
            assert reading is not None
            assert reading.centre == pytest.approx(math.exp(centre))
            expected = (math.log(value) - centre) / max(1.4826 * deviation, 1e-9)
            assert reading.score == pytest.approx(expected, rel=1e-6, abs=1e-6)
        else:
            assert reading is None
        past.append(math.log(value))


def test_the_median_rule_is_the_same_at_every_scale() -> None:
    small, large = MedianRule(), MedianRule()
    for value in _calm(200):
        one, thousand = small.read(value), large.read(1000 * value)
        assert (one is None) == (thousand is None)
        if one and thousand:
            assert thousand.score == pytest.approx(one.score, abs=1e-6)


def test_a_loss_of_zero_has_a_score() -> None:
    rule = MedianRule()
    assert [rule.read(0.0) for _ in range(30)][-1] == SpikeScore(0.0, pytest.approx(1e-12), 0.0)


def test_the_z_score_rule_is_that_of_zclip() -> None:
    rule, values = ZScoreRule(warmup=25), _calm(25)
    assert all(rule.read(value) is None for value in values)
    reading = rule.read(10.0)
    assert reading is not None
    assert reading.centre == pytest.approx(statistics.fmean(values))
    deviation = statistics.pstdev(values)
    assert reading.score == pytest.approx((10.0 - statistics.fmean(values)) / deviation, rel=1e-3)
    after = rule.read(1.0)
    assert after is not None
    held = statistics.fmean(values) + 2.5**2 / reading.score * deviation
    decay = 25 / 26
    assert after.centre == pytest.approx(decay * statistics.fmean(values) + (1 - decay) * held, rel=1e-3)


def test_a_calm_curve_fires_nothing_and_a_spike_fires_once() -> None:
    values = _calm(2000)
    assert _fired(_detector(), values) == []
    values[1000] *= 5
    assert _fired(_detector(), values) == [1000]


def test_a_spike_that_lasts_and_comes_back_soon_is_one_event() -> None:
    values = _calm(1000)
    for i in (500, 501, 502, 510, 515):
        values[i] *= 6
    values[800] *= 6
    assert _fired(_detector(), values) == [500, 800]


def test_several_metrics_that_jump_together_are_one_event_named_by_the_highest() -> None:
    detector = _detector()
    for value in _calm(100):
        assert detector.observe({"loss": value, "norm": value}) is None
    spike = detector.observe({"loss": 4.0, "norm": 40.0})
    assert spike is not None and spike[0] == "norm" and spike[1].value == 40.0
    assert detector.observe({"loss": 8.0, "norm": 1.0}) is None


def test_what_falls_is_no_spike() -> None:
    values = _calm(300) + [0.01] * 3 + _calm(100)
    assert _fired(_detector(), values) == []


def test_a_level_that_stays_is_one_event_and_becomes_the_new_level() -> None:
    values = _calm(300) + _calm(300, seed=1, level=4.0)
    values[550] *= 5
    assert _fired(_detector(), values) == [300, 550]


def test_a_slow_drift_fires_nothing() -> None:
    values = [value * 1.01**i for i, value in enumerate(_calm(600))]
    assert _fired(_detector(), values) == []


def test_values_that_are_not_finite_are_passed_over() -> None:
    detector = _detector()
    for i, value in enumerate(_calm(200)):
        assert detector.observe({"loss": [math.nan, math.inf, value][i % 3]}) is None
    assert detector.observe({"loss": math.nan}) is None
    assert detector.observe({"loss": 9.0}) is not None


def test_after_an_intervention_a_jump_that_would_have_fired_is_taken_for_its_effect() -> None:
    steered = _detector()
    assert _fired(steered, _calm(300)) == []
    steered.reset()
    after = _calm(200, seed=1, level=2.5)
    assert _fired(steered, after) == []
    assert _fired(steered, [9.0]) == [0], "and the tolerance is the usual one again"


def test_an_explosion_right_after_an_intervention_still_fires() -> None:
    detector = _detector()
    _fired(detector, _calm(300))
    detector.reset()
    assert _fired(detector, [*_calm(3, seed=1), 1000.0]) == [3]


def test_a_disturbance_before_the_warm_up_does_not_shorten_it() -> None:
    rule = MedianRule(warmup=20, kept=10)
    for value in _calm(5):
        rule.read(value)
    rule.reset()
    assert [rule.read(value) is None for value in _calm(16)] == [True] * 15 + [False]
