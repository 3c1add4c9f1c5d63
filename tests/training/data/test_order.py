"""The shuffled order of an epoch."""

from __future__ import annotations

import numpy as np

from engine.training.data.order import WINDOW_SCENES, epoch_order

SCENES = np.repeat(np.arange(500), 3).tolist()


def test_every_target_comes_once() -> None:
    assert sorted(epoch_order(SCENES, seed=1, epoch=0)) == list(range(1500))


def test_epochs_and_seeds_differ_and_repeat_exactly() -> None:
    first = epoch_order(SCENES, seed=1, epoch=0)
    assert np.array_equal(first, epoch_order(SCENES, seed=1, epoch=0))
    assert (first != epoch_order(SCENES, seed=1, epoch=1)).mean() > 0.9
    assert (first != epoch_order(SCENES, seed=2, epoch=0)).mean() > 0.9


def test_a_window_of_samples_needs_few_pictures_in_memory() -> None:
    order = epoch_order(SCENES, seed=1, epoch=0)
    places = [np.flatnonzero(np.asarray(SCENES)[order] == scene) for scene in range(500)]
    assert max(place.max() - place.min() for place in places) <= 3 * WINDOW_SCENES * 1.1


def test_neighbours_in_the_order_are_mostly_of_different_pictures() -> None:
    scenes = np.asarray(SCENES)[epoch_order(SCENES, seed=1, epoch=0)]
    assert (scenes[1:] == scenes[:-1]).mean() < 0.03


def test_one_target_and_none_are_orders_too() -> None:
    assert epoch_order([4], seed=0, epoch=0).tolist() == [0]
    assert epoch_order([], seed=0, epoch=0).tolist() == []
