"""Erosion, dilation and bands, against scipy.ndimage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from engine.tasks.person.losses.morphology import class_band, dilated, eroded, target_contour

SQUARE = np.ones((3, 3), dtype=bool)


def masks() -> list[np.ndarray]:
    drawn = [np.random.default_rng(seed).random((17, 13)) < share for seed, share in enumerate((0.1, 0.5, 0.9))]
    whole, none, edge = np.ones((9, 9), bool), np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    edge[:, -1] = True
    blob = np.zeros((20, 20), bool)
    blob[0:9, 6:14] = True
    return [*drawn, whole, none, edge, blob]


def as_map(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask.astype(np.float32))[None, None]


@pytest.mark.parametrize("mask", masks())
def test_dilation_and_erosion_are_scipys(mask):
    assert np.array_equal(dilated(as_map(mask))[0, 0] > 0, ndimage.binary_dilation(mask, SQUARE))
    assert np.array_equal(eroded(as_map(mask))[0, 0] > 0, ndimage.binary_erosion(mask, SQUARE, border_value=1))


def test_they_are_scipys_on_grey_values_too():
    grey = np.random.default_rng(0).normal(size=(17, 13)).astype(np.float32)
    assert np.array_equal(dilated(as_map(grey))[0, 0], ndimage.grey_dilation(grey, size=(3, 3), mode="nearest"))
    assert np.array_equal(eroded(as_map(grey))[0, 0], ndimage.grey_erosion(grey, size=(3, 3), mode="nearest"))


@pytest.mark.parametrize("mask", masks())
def test_the_target_contour_is_what_dilation_adds_and_erosion_takes(mask):
    expected = ndimage.binary_dilation(mask, SQUARE) & ~ndimage.binary_erosion(mask, SQUARE, border_value=0)
    label = torch.from_numpy(mask.astype(np.int64))[None]
    assert np.array_equal(target_contour(label)[0, 0] > 0, expected)


def test_the_target_contour_is_two_sided_closed_at_the_frame_and_the_targets_alone():
    label = torch.zeros(1, 8, 8, dtype=torch.long)
    label[0, 2:, 3:6] = 1
    label[0, :, 7] = 2
    rows = target_contour(label)[0, 0]
    assert rows[4].tolist() == [0, 0, 1, 1, 0, 1, 1, 0]
    assert rows[7].tolist() == [0, 0, 1, 1, 1, 1, 1, 0]
    assert rows[0].sum() == 0


def test_the_class_band_is_where_a_neighbour_is_of_another_class():
    label = np.random.default_rng(3).choice(3, p=(0.9, 0.05, 0.05), size=(15, 12))
    expected = np.zeros(label.shape, bool)
    for y, x in np.ndindex(*label.shape):
        expected[y, x] = len(np.unique(label[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2])) > 1
    assert 0 < expected.sum() < expected.size
    assert np.array_equal(class_band(torch.from_numpy(label)[None])[0, 0] > 0, expected)


def test_the_class_band_lies_between_target_and_other_too_and_not_along_the_frame():
    label = torch.ones(1, 6, 6, dtype=torch.long)
    assert class_band(label).sum() == 0
    label[..., 3:] = 2
    assert class_band(label)[0, 0, 0].tolist() == [0, 0, 1, 1, 0, 0]
