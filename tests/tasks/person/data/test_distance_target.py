"""The signed distance target, against brute force."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from engine.tasks.person.data.distance_target import TRUNCATION, signed_distance


def brute_force(label: np.ndarray) -> np.ndarray:
    inside = label == 1
    values = np.zeros(label.shape)
    for y, x in np.ndindex(*label.shape):
        others = np.argwhere(inside != inside[y, x])
        nearest = np.sqrt(((others - (y, x)) ** 2).sum(axis=1)).min() - 0.5
        values[y, x] = nearest if inside[y, x] else -nearest
    return np.clip(values / (TRUNCATION * max(label.shape)), -1, 1)


@pytest.mark.parametrize("shape", [(16, 16), (12, 20)])
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_distance_to_the_nearest_pixel_on_the_other_side(shape, seed):
    label = np.random.default_rng(seed).choice(3, p=(0.93, 0.05, 0.02), size=shape)
    label[4:9, 3:10] = 1
    distance = signed_distance(label)
    assert distance.dtype == np.float32 and distance.shape == shape
    np.testing.assert_allclose(distance, brute_force(label), atol=1e-6)


def test_it_is_positive_inside_negative_outside_and_says_how_deep():
    label = np.zeros((32, 32), dtype=np.int64)
    label[8:25, 8:25] = 1
    distance = signed_distance(label)
    assert np.array_equal(distance > 0, label == 1)
    assert distance[16, 16] == distance.max() == 1
    assert (np.diff(distance[16, 8:16]) > 0).all()


def test_beside_the_outline_a_pixel_is_half_a_pixel_away():
    label = np.zeros((32, 32), dtype=np.int64)
    label[:, 16:] = 1
    assert signed_distance(label)[0, 15:17].tolist() == [-0.5 / 8, 0.5 / 8]


@pytest.mark.parametrize("fill, expected", [(0, -1.0), (2, -1.0), (1, 1.0)])
def test_a_label_without_an_outline_is_one_value(fill, expected):
    assert (signed_distance(np.full((8, 8), fill)) == expected).all()


def test_it_needs_no_torch():
    code = "import sys, engine.tasks.person.data.distance_target; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
