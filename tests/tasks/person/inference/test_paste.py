"""Masks pasted back into their images: which pixels, how they are interpolated, and the score."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from engine.tasks.person.inference.paste import paste_region


def smooth_probabilities(side: int = 16) -> NDArray[np.float32]:
    """Probabilities of three classes that vary slowly over a region."""
    noise = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(3))
    return (4 * F.interpolate(noise, size=(side, side), mode="bicubic")).softmax(1)[0].numpy()


def test_a_region_as_large_as_its_mask_is_pasted_unchanged() -> None:
    probs_3HW = smooth_probabilities()
    pasted = paste_region(probs_3HW, (3.0, 5.0, 19.0, 21.0), (40, 30))
    assert (pasted.column, pasted.row) == (3, 5)
    np.testing.assert_array_equal(pasted.classes_HW, probs_3HW.argmax(0))
    target = probs_3HW.argmax(0) == 1
    assert pasted.score == pytest.approx(float(probs_3HW[1][target].mean()))
    full = pasted.full_mask((40, 30))
    assert full.shape == (30, 40) and full.sum() == target.sum() and full[5:21, 3:19][target].all()


def test_a_larger_region_is_interpolated_as_torch_does() -> None:
    probs_3HW = smooth_probabilities()
    pasted = paste_region(probs_3HW, (0.0, 0.0, 48.0, 64.0), (48, 64))
    expected = F.interpolate(torch.from_numpy(probs_3HW)[None], size=(64, 48), mode="bilinear")[0].argmax(0)
    np.testing.assert_array_equal(pasted.classes_HW, expected.numpy())


def test_pixels_outside_the_image_or_the_box_are_left_out_without_moving_the_others() -> None:
    probs_3HW = smooth_probabilities()
    whole = paste_region(probs_3HW, (10.3, 7.6, 42.1, 60.2), (100, 100))
    assert (whole.column, whole.row) == (10, 8) and whole.classes_HW.shape == (52, 32)
    cut = paste_region(probs_3HW, (10.3, 7.6, 42.1, 60.2), (30, 100), within=(0.0, 20.0, 100.0, 44.4))
    assert (cut.column, cut.row) == (10, 20)
    np.testing.assert_array_equal(cut.classes_HW, whole.classes_HW[12:36, :20])
    shifted = paste_region(probs_3HW, (-9.7, -12.4, 22.1, 40.2), (100, 100))
    np.testing.assert_array_equal(shifted.classes_HW, whole.classes_HW[12:, 10:])


def test_a_trimmed_mask_is_that_in_its_bounding_box() -> None:
    probs_3HW = np.zeros((3, 8, 8), dtype=np.float32)
    probs_3HW[1, 2:5, 3:7] = 1.0
    probs_3HW[0] = 1 - probs_3HW[1]
    pasted = paste_region(probs_3HW, (10.0, 20.0, 18.0, 28.0), (40, 30))
    column, row, mask_HW = pasted.trimmed_mask()
    assert (column, row) == (13, 22) and mask_HW.shape == (3, 4) and mask_HW.all()
    nothing = paste_region(probs_3HW[[1, 0, 2]] * 0, (10.0, 20.0, 18.0, 28.0), (40, 30)).trimmed_mask()
    assert nothing[2].shape == (0, 0)


def test_a_region_without_a_pixel_or_without_a_target_has_the_score_zero() -> None:
    away = paste_region(smooth_probabilities(), (50.0, 50.0, 60.0, 60.0), (40, 30))
    assert away.classes_HW.size == 0 and away.score == 0.0 and not away.full_mask((40, 30)).any()
    background = np.stack([np.ones((8, 8)), np.zeros((8, 8)), np.zeros((8, 8))]).astype(np.float32)
    assert paste_region(background, (0.0, 0.0, 20.0, 20.0), (40, 30)).score == 0.0


def test_where_the_image_is_coarser_its_pixels_average_the_mask() -> None:
    stripes = np.zeros((3, 8, 8), dtype=np.float32)
    stripes[1, :, ::4] = 1.0
    stripes[0] = 1 - stripes[1]
    assert not paste_region(stripes, (0.0, 0.0, 2.0, 2.0), (2, 2)).classes_HW.any(), "a quarter is target"
    stripes[1, :, 1::2] = 1.0
    stripes[0] = 1 - stripes[1]
    assert paste_region(stripes, (0.0, 0.0, 2.0, 2.0), (2, 2)).classes_HW.all(), "three quarters are"
