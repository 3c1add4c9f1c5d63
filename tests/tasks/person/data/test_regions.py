"""Boxes become regions: padded, jittered within bounds, squared around their centre."""

from __future__ import annotations

import numpy as np
import pytest

from engine.tasks.person.data.regions import MIN_SIDE, Sides, jitter_box, pad_box, widened_box

BOX = (10.0, 20.0, 30.0, 60.0)


def test_padding_moves_every_edge_by_its_share_of_the_side() -> None:
    assert pad_box(BOX, 0.25) == (5.0, 10.0, 35.0, 70.0)
    assert pad_box(BOX, 0.0) == BOX


def test_fractional_boxes_are_not_truncated() -> None:
    assert pad_box((10.25, 20.5, 30.75, 60.125), 0.0) == (10.25, 20.5, 30.75, 60.125)


def test_jitter_stays_within_its_amount_and_follows_the_generator() -> None:
    rng = np.random.default_rng(0)
    moved = np.array([jitter_box(BOX, 0.1, rng) for _ in range(200)])
    shares = np.abs(moved - BOX) / (20, 40, 20, 40)
    assert shares.max() <= 0.1
    assert shares.max(axis=0).min() > 0.09
    assert jitter_box(BOX, 0.1, np.random.default_rng(7)) == jitter_box(BOX, 0.1, np.random.default_rng(7))


@pytest.mark.parametrize("box", [(5.0, 5.0, 5.0, 5.0), (5.0, 5.0, 5.1, 90.0)])
def test_no_side_gets_shorter_than_the_shortest_allowed(box: tuple[float, float, float, float]) -> None:
    left, top, right, bottom = jitter_box(box, 0.5, np.random.default_rng(1))
    assert min(right - left, bottom - top) >= MIN_SIDE


def test_a_square_holds_the_box_around_the_same_centre() -> None:
    assert widened_box(BOX) == (0.0, 20.0, 40.0, 60.0)


@pytest.mark.parametrize(
    ("sides", "width", "height"), [((64, 48), 30.0, 40.0), ((48, 96), 80.0, 40.0), (7, 40.0, 40.0)], ids=str
)
def test_a_widened_box_has_the_shape_of_the_region(sides: Sides, width: float, height: float) -> None:
    x, y = (BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2
    assert widened_box(BOX, sides) == pytest.approx((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
