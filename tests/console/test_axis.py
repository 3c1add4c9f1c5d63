"""Axes: round values in range, labels that can be told apart, at every magnitude."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cockpit.console.axis import Axis


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 1.0), (-3.0, 5.0), (1e-12, 9e-12), (1e12, 1e12 + 262144), (0.31, 0.31001), (-1e30, 1e30)],
)
def test_ticks_lie_in_range_and_have_different_labels(low: float, high: float) -> None:
    heights, labels = Axis(low, high).ticks()

    assert 2 <= len(heights) <= 7
    assert all(-1e-6 <= height <= 1 + 1e-6 for height in heights)
    assert heights == sorted(heights)
    assert len(set(labels)) == len(labels)


def test_ticks_are_round() -> None:
    assert Axis(0.03, 0.97).ticks()[1] == ["0.2", "0.4", "0.6", "0.8"]


def test_labels_are_no_longer_than_it_takes_to_tell_them_apart() -> None:
    assert Axis(1e12, 1e12 + 300_000).ticks()[1][:2] == ["1e+12", "1.0000001e+12"]


def test_a_logarithmic_axis_counts_in_decades() -> None:
    heights, labels = Axis(-3.0, 2.0, log=True).ticks()

    assert labels == ["0.001", "0.01", "0.1", "1", "10", "100"]
    assert heights == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_a_logarithmic_axis_within_one_decade_still_has_ticks() -> None:
    heights, labels = Axis(math.log10(2.0), math.log10(7.0), log=True).ticks()

    assert len(labels) >= 2
    assert all(0 <= height <= 1 for height in heights)


def test_values_are_placed_between_the_ends() -> None:
    assert Axis(10.0, 20.0).place(np.array([10.0, 15.0, 20.0])).tolist() == [0.0, 0.5, 1.0]
    assert Axis(0.0, 2.0, log=True).place(np.array([1.0, 10.0])).tolist() == [0.0, 0.5]
