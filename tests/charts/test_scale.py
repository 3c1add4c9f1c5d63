from __future__ import annotations

import numpy as np
import pytest

from cockpit.charts.columns.band import Band, band
from cockpit.charts.scale import robust_scale
from tests.charts.array_history import ArrayHistory
from tests.charts.cases import CASES


def band_of(values: np.ndarray, *, log: bool = False, columns: int = 116) -> Band:
    history = ArrayHistory.dense({"m": values})
    return band([history.buckets("m", first=1, last=max(len(values), 1) + 1, columns=columns)], columns, log=log)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_any_values_give_a_range_that_opens_upwards(case: str, log: bool) -> None:
    scale = robust_scale(band_of(CASES[case](), log=log), log=log)
    assert np.isfinite([scale.low, scale.high]).all()
    assert scale.low < scale.high


def test_a_smooth_descent_is_shown_whole() -> None:
    values = 3 * np.exp(-np.arange(1000) / 200) + 0.5
    scale = robust_scale(band_of(values), log=False)
    assert scale.low <= values.min() < values.max() <= scale.high


def test_one_spike_does_not_widen_the_range() -> None:
    values = 2 + np.sin(np.arange(1000) / 9)
    calm = robust_scale(band_of(values), log=False)
    values[500] = 1e6
    spiked = robust_scale(band_of(values), log=False)
    assert spiked.high - spiked.low < 2 * (calm.high - calm.low)


def test_few_points_are_all_shown() -> None:
    scale = robust_scale(band_of(np.array([1.0, 1e6])), log=False)
    assert scale.high >= 1e6


def test_a_near_level_is_taken_in_and_a_far_one_is_not() -> None:
    values = 2 + np.sin(np.arange(1000) / 9)
    near = robust_scale(band_of(values), log=False, levels=(3.5,))
    far = robust_scale(band_of(values), log=False, levels=(50.0,))
    assert near.high >= 3.5
    assert far.high < 4


def test_shares_never_get_an_axis_beyond_0_and_1() -> None:
    scale = robust_scale(band_of(np.array([0.0, 1.0])), log=False, bounds=(0.0, 1.0))
    assert -0.05 < scale.low <= 0
    assert 1 <= scale.high < 1.05


def test_a_place_is_a_share_of_the_range() -> None:
    scale = robust_scale(band_of(np.array([1.0, 100.0]), log=True), log=True)
    assert scale.height(10.0) == pytest.approx(0.5)
    assert np.isnan(scale.height(-1.0))
