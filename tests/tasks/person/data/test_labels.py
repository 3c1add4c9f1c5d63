"""Labels are the class that covers most of a bin, measured once at full resolution."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from engine.tasks.person.data.labels import label_region
from engine.tasks.person.data.readers.scenes import Box, Picture, cut_mask


def picture_of(*masks: np.ndarray) -> Picture:
    height, width = masks[0].shape
    people = tuple(cut_mask(mask.astype(bool), id=str(number)) for number, mask in enumerate(masks))
    return Picture(Image.new("RGB", (width, height)), people)


def boxed(left: int, top: int, right: int, bottom: int, size: tuple[int, int] = (40, 40)) -> np.ndarray:
    mask = np.zeros((size[1], size[0]), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def count_points(classes: np.ndarray, region: Box, size: int, *, fine: int = 40) -> np.ndarray:
    """The share of each class among many points of each bin, (3, size, size)."""
    offsets = (np.arange(size * fine) + 0.5) / (size * fine)
    columns = np.floor(region[0] + offsets * (region[2] - region[0])).astype(int)
    rows = np.floor(region[1] + offsets * (region[3] - region[1])).astype(int)
    inside = ((rows >= 0) & (rows < classes.shape[0]))[:, None] & ((columns >= 0) & (columns < classes.shape[1]))[None]
    picked = classes[np.clip(rows, 0, classes.shape[0] - 1)][:, np.clip(columns, 0, classes.shape[1] - 1)]
    picked = np.where(inside, picked, 0).reshape(size, fine, size, fine)
    return np.stack([(picked == number).mean(axis=(1, 3)) for number in range(3)])


def test_at_one_pixel_a_bin_the_label_is_the_masks() -> None:
    label = label_region(picture_of(boxed(5, 6, 20, 30), boxed(15, 10, 35, 25)), 0, (0.0, 0.0, 40.0, 40.0), 40)
    expected = np.zeros((40, 40), dtype=int)
    expected[10:25, 15:35] = 2
    expected[6:30, 5:20] = 1
    assert np.array_equal(label, expected)
    assert label.dtype == np.int64
    upper = label_region(picture_of(boxed(5, 6, 20, 30), boxed(15, 10, 35, 25)), 0, (0.0, 0.0, 40.0, 20.0), (20, 40))
    assert np.array_equal(upper, expected[:20])


def test_each_person_is_the_target_of_its_own_region_and_another_in_the_others() -> None:
    picture = picture_of(boxed(0, 0, 20, 40), boxed(20, 0, 40, 40))
    first, second = (label_region(picture, number, (0.0, 0.0, 40.0, 40.0), 16) for number in (0, 1))
    assert (first[:, :8] == 1).all() and (first[:, 8:] == 2).all()
    assert np.array_equal(second, 3 - first)


@pytest.mark.parametrize("seed", range(6))
def test_labels_agree_with_a_count_of_many_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.random((2, 8, 9)).repeat(9, axis=1).repeat(7, axis=2)
    masks = [noise[0] < 0.4, noise[1] < 0.4]
    left, top = rng.uniform(-10, 20, size=2)
    region = (left, top, left + rng.uniform(20, 60), top + rng.uniform(20, 60))
    classes = np.where(masks[0], 1, np.where(masks[1], 2, 0))
    label = label_region(picture_of(*masks), 0, region, 16)
    shares = count_points(classes, region, 16)
    clear = np.diff(np.sort(shares, axis=0)[1:], axis=0)[0] > 0.05
    assert clear.mean() > 0.9
    assert np.array_equal(label[clear], shares.argmax(axis=0)[clear])


def test_a_thin_limb_is_kept_where_it_covers_most_of_a_bin_and_dropped_where_not() -> None:
    picture = picture_of(boxed(8, 0, 11, 40))
    assert (label_region(picture, 0, (0.0, 0.0, 40.0, 40.0), 10)[:, 2] == 1).all()
    assert (label_region(picture, 0, (2.0, 0.0, 42.0, 40.0), 4) == 0).all()


def test_what_lies_outside_the_image_is_background() -> None:
    label = label_region(picture_of(np.ones((40, 40), dtype=bool)), 0, (-40.0, -40.0, 80.0, 80.0), 12)
    assert (label[4:8, 4:8] == 1).all()
    assert label.sum() == 16


def test_a_region_beside_the_image_is_all_background() -> None:
    picture = picture_of(np.ones((40, 40), dtype=bool))
    for region in ((50.0, 50.0, 90.0, 90.0), (-90.0, 0.0, -50.0, 40.0), (0.0, 41.5, 40.0, 60.0)):
        assert not label_region(picture, 0, region, 8).any()
