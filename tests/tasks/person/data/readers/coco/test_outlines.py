"""Outlines are checked before pycocotools draws them."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from engine.task import UnusableSample
from engine.tasks.person.data.readers.coco.outlines import draw_outline, outline_bounds, parse_outline
from tests.tasks.person.data.builders import rectangle

SIZE = (53, 37)


def random_mask(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.asfortranarray((rng.random((SIZE[1], SIZE[0])) < rng.random()).astype(np.uint8))


def run_lengths(mask: np.ndarray) -> list[int]:
    flat = mask.reshape(-1, order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    return [0, *runs] if flat[0] else runs


def test_a_polygon_fills_its_pixels() -> None:
    mask = draw_outline(parse_outline([rectangle(10, 5, 30, 25)], SIZE), SIZE)
    expected = np.zeros((37, 53), dtype=bool)
    expected[5:25, 10:30] = True
    assert np.array_equal(mask, expected)


def test_several_polygons_are_one_person() -> None:
    outline = parse_outline([rectangle(0, 0, 5, 5), rectangle(20, 20, 30, 30)], SIZE)
    assert draw_outline(outline, SIZE).sum() == 25 + 100
    assert outline_bounds(outline, SIZE) == (0, 0, 30, 30)


@pytest.mark.parametrize("seed", range(8))
def test_run_lengths_give_the_mask_back_compressed_or_not(seed: int) -> None:
    mask = random_mask(seed)
    packed = coco_mask.encode(mask)
    as_text = {"size": [37, 53], "counts": packed["counts"].decode("ascii")}
    as_list = {"size": [37, 53], "counts": run_lengths(mask)}
    for segmentation in (as_text, as_list):
        assert np.array_equal(draw_outline(parse_outline(segmentation, SIZE), SIZE), mask.astype(bool))


def test_a_degenerate_polygon_is_left_out_beside_a_good_one() -> None:
    outline = parse_outline([[1, 1, 2, 2], [3, 3, 3, 3, 3, 3], rectangle(10, 5, 30, 25)], SIZE)
    assert draw_outline(outline, SIZE).sum() == 400


@pytest.mark.parametrize(
    "polygon",
    [
        [],
        [1, 1, 5, 5],
        [1, 1, 5, 5, 9],
        [1, 1, 5, 5, 1, 1],
        [1, 1, 5, 5, 9, 9],
        [1, 1, 9, 9, float("nan"), 4],
        [1, 1, 9, 9, float("inf"), 4],
        ["a", "b", "c", "d", "e", "f"],
        "polygon",
        None,
    ],
)
def test_a_polygon_without_area_or_numbers_is_reported(polygon: object) -> None:
    with pytest.raises(UnusableSample, match="without area"):
        parse_outline([polygon], SIZE)


@pytest.mark.parametrize("segmentation", [None, [], "x", 5])
def test_no_outline_is_reported(segmentation: object) -> None:
    with pytest.raises(UnusableSample, match="no outline"):
        parse_outline(segmentation, SIZE)


def test_coordinates_that_would_crash_pycocotools_are_pulled_in() -> None:
    outline = parse_outline([[-1e12, -1e12, 1e12, -1e12, 1e12, 1e12, -1e12, 1e12]], SIZE)
    assert draw_outline(outline, SIZE).all()


@pytest.mark.parametrize(
    "counts",
    ["", "5", "garbage!!", "\x00\x01", "ooooo", "\u00e9\u00e9", [10, 20], [-1, 1962], [1.5, 1959.5], [], None, ["a"]],
)
def test_run_lengths_that_do_not_add_up_are_reported(counts: object) -> None:
    with pytest.raises(UnusableSample, match="do not add up"):
        parse_outline({"size": [37, 53], "counts": counts}, SIZE)


@pytest.mark.parametrize("size", [[53, 37], [37], None, "x"])
def test_run_lengths_for_another_size_are_reported(size: object) -> None:
    with pytest.raises(UnusableSample, match="run lengths for size"):
        parse_outline({"size": size, "counts": [1961]}, SIZE)
