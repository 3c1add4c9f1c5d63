from __future__ import annotations

import math

import numpy as np
import pytest

from cockpit.charts.scale import Scale
from cockpit.charts.ticks import MAX_LABEL, compact, narrow, step_label, value_ticks


@pytest.mark.parametrize("count", [2, 3, 5, 8])
@pytest.mark.parametrize("exponent", range(-12, 13))
@pytest.mark.parametrize("sign", [1, -1])
def test_labels_of_any_size_are_narrow_and_all_different(exponent: int, sign: int, count: int) -> None:
    unit = 10.0**exponent
    low, high = sorted((sign * 1.1 * unit, sign * 3.7 * unit))
    ticks = value_ticks(Scale(low, high), count)
    labels = [label for _, label in ticks]
    assert len(ticks) >= 2
    assert len(set(labels)) == len(labels)
    assert max(map(len, labels)) <= MAX_LABEL
    assert all(low - 1e-9 * unit <= value <= high + 1e-9 * unit for value, _ in ticks)
    assert all(float(label) == pytest.approx(value, rel=0.01, abs=1e-3 * unit) for value, label in ticks)


def test_values_that_differ_late_are_told_apart_by_their_distance() -> None:
    labels = [label for _, label in value_ticks(Scale(1.0, 1.0000002), 4)]
    assert labels[0] == "1"
    assert all(label.startswith("+") for label in labels[1:])
    assert len(set(labels)) == len(labels) > 2


@pytest.mark.parametrize(("low", "high"), [(-12, 12), (-12, -11), (0.1, 0.4), (0, 3), (5.2, 5.3)])
def test_a_log_axis_has_ticks_at_any_width(low: float, high: float) -> None:
    ticks = value_ticks(Scale(low, high, log=True), 5)
    assert 1 <= len(ticks) <= 8
    assert all(low - 1e-6 <= math.log10(value) <= high + 1e-6 for value, _ in ticks)


def test_decades_are_written_short() -> None:
    assert [label for _, label in value_ticks(Scale(-1.2, 2.1, log=True), 5)] == ["0.1", "1", "10", "100"]


def test_decimals_are_those_of_the_finest_tick() -> None:
    assert [label for _, label in value_ticks(Scale(0.4, 2.1), 4)] == ["0.5", "1.0", "1.5", "2.0"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1e-12, "1e-12"),
        (-1.234e-12, "-1.234e-12"),
        (1e12, "1e12"),
        (123_456.0, "123456"),
        (math.nan, "NaN"),
        (math.inf, "Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_numbers_are_compact(value: float, text: str) -> None:
    assert compact(value) == text


def test_no_number_is_wider_than_its_room() -> None:
    values = np.concatenate([sign * 1.23456 * 10.0 ** np.arange(-45, 39) for sign in (1, -1)])
    assert max(len(narrow(float(value))) for value in values) <= MAX_LABEL
    assert max(len(narrow(float(value), 6)) for value in values) <= 6


def test_long_steps_are_grouped() -> None:
    assert [step_label(step) for step in (7, 9999, 12_345, 1_000_000)] == ["7", "9999", "12 345", "1 000 000"]
