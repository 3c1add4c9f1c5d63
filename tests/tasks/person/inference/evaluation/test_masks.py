"""Mask AP by COCO's program: one for the truth, nothing for empty masks, and by the size of the person."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.tasks.person.inference.evaluation.masks import (
    RunLengths,
    TrueMask,
    average_precision,
    mask_iou,
    size_of,
)
from engine.tasks.person.inference.run_lengths import encode_mask


def block(side: int, corner: tuple[int, int] = (5, 8)) -> RunLengths:
    """A square of ones in an image of 300 x 200 pixels."""
    return encode_mask(np.ones((side, side), dtype=np.bool_), *corner, (300, 200))


def truth(side: int, image: str = "a.jpg") -> TrueMask:
    return TrueMask(image, (300, 200), block(side), side * side)


def test_the_iou_of_masks_is_that_of_pixels() -> None:
    assert mask_iou(block(20), block(20)) == 1.0
    assert mask_iou(block(20), block(10)) == pytest.approx(0.25)
    assert mask_iou(block(20), block(20, (100, 100))) == 0.0
    assert mask_iou(block(0), block(0)) == 1.0 and mask_iou(block(0), block(4)) == 0.0


def test_sizes_are_those_of_coco() -> None:
    assert [size_of(area) for area in (1, 1024, 1025, 9216, 9217)] == ["small", "small", "medium", "medium", "large"]


def test_true_masks_have_the_precision_one_and_empty_ones_none() -> None:
    truths = [truth(20), truth(60), truth(60, "b.jpg"), truth(150, "c.jpg")]
    perfect = average_precision(truths, [(one.mask, 0.5) for one in truths])
    assert set(perfect) == {"all", "small", "medium", "large"}
    assert all(numbers == pytest.approx({"ap": 1.0, "ap50": 1.0, "ap75": 1.0}) for numbers in perfect.values())
    empty = average_precision(truths, [(block(0), 0.0)] * 4)
    assert set(empty["all"].values()) == {0.0}


def test_precision_counts_masks_that_overlap_enough_and_sizes_apart() -> None:
    truths = [truth(60), truth(150, "b.jpg")]
    measured = average_precision(truths, [(block(48), 0.9), (block(150), 0.8)])
    assert mask_iou(block(48), block(60)) == pytest.approx(0.64)
    assert measured["medium"] == pytest.approx({"ap": 0.3, "ap50": 1.0, "ap75": 0.0}), "0.50, 0.55 and 0.60 of ten"
    assert measured["large"]["ap"] == pytest.approx(1.0) == measured["all"]["ap50"]
    assert math.isnan(measured["small"]["ap"]), "there is none"
