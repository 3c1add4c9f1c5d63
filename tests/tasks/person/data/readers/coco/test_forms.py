"""Outlines in other forms than COCO's are read where their meaning is certain, and doubted or named where it is not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tests.tasks.person.data.builders import document, gradient, image_entry, person
from tests.tasks.person.data.readers.coco.reading import (
    BOX,
    COUNTS,
    HUGE,
    PACKED,
    RECTANGLE,
    errors,
    masks,
    read,
    two_images,
)


@pytest.mark.parametrize(
    "segmentation",
    [
        RECTANGLE,
        [RECTANGLE],
        [[float(value) for value in RECTANGLE]],
        [[str(value) for value in RECTANGLE]],
        [[[5, 5], [30, 5], [30, 45], [5, 45]]],
        [[5, 5], [30, 5], [30, 45], [5, 45]],
        [[[[5, 5], [30, 5], [30, 45], [5, 45]]]],
        [{"x": 5, "y": 5}, {"x": 30, "y": 5}, {"x": 30, "y": 45}, {"x": 5, "y": 45}],
        json.dumps([RECTANGLE]),
        [RECTANGLE, [1, 1]],
        {"size": [50, 60], "counts": COUNTS},
        {"size": [50, 60], "counts": PACKED},
        {"size": [50.0, 60.0], "counts": [float(count) for count in COUNTS]},
        {"size": ["50", "60"], "counts": [str(count) for count in COUNTS]},
        {"size": [50, 60], "counts": " ".join(str(count) for count in COUNTS)},
        {"size": [50, 60], "counts": str(COUNTS)},
        {"size": [50, 60], "counts": repr(PACKED.encode())},
        json.dumps({"size": [50, 60], "counts": PACKED}),
        [{"size": [50, 60], "counts": COUNTS}],
        [{"size": [50, 60], "counts": COUNTS}, {"size": [50, 60], "counts": PACKED}],
        " ".join(str(value) for value in RECTANGLE),
        "5,5;30,5;30,45;5,45",
        [[[5, 5]], [[30, 5]], [[30, 45]], [[5, 45]]],
        [[[[5, 5]], [[30, 5]], [[30, 45]], [[5, 45]]]],
        str([RECTANGLE]),
        [str(RECTANGLE)],
        {"size": "[50, 60]", "counts": COUNTS},
        {"size": [50, 60], "counts": f"bytearray({PACKED.encode()!r})"},
        {"size": [50, 60], "counts": f" '{PACKED}'\n"},
        {"size": [50, 60], "counts": list(PACKED.encode())},
    ],
)
def test_an_outline_in_any_form_covers_the_same_pixels(tmp_path: Path, segmentation: object) -> None:
    split = read(tmp_path, two_images(segmentation=segmentation))
    assert masks(split) == [25 * 40] * 2 and not split.problems


def test_text_of_bytes_is_read_and_said(tmp_path: Path) -> None:
    split = read(tmp_path, two_images(segmentation={"size": [50, 60], "counts": repr(PACKED.encode())}))
    (doubt,) = split.doubts
    assert "2 annotations have for counts the text of a Python bytes object (b'...')" in doubt.message
    assert "annotation 1 of a.png" in doubt.message


@pytest.mark.parametrize(
    "text",
    [
        str({"size": [50, 60], "counts": COUNTS}),
        str({"size": (50, 60), "counts": PACKED.encode()}),
        str([tuple(RECTANGLE[at : at + 2]) for at in range(0, 8, 2)]),
    ],
)
def test_the_text_of_a_python_object_is_read_and_said(tmp_path: Path, text: str) -> None:
    split = read(tmp_path, two_images(segmentation=text))
    assert masks(split) == [25 * 40] * 2 and not split.problems
    assert "2 annotations have for an outline the text of a Python object" in split.doubts[0].message


def test_back_slashes_of_compressed_run_lengths_may_be_doubled_or_not(tmp_path: Path) -> None:
    mask = np.zeros((50, 60), dtype=np.uint8)
    rows, columns = np.mgrid[:50, :60]
    mask[(rows - 25) ** 2 * 2 + (columns - 26) ** 2 < 5**2] = 1
    packed = coco_mask.encode(np.asfortranarray(mask))["counts"].decode("ascii")
    assert "\\" in packed
    forms = (packed, packed.replace("\\", "\\\\"), repr(packed.encode()), f"b'{packed}'")
    for counts in forms:
        split = read(tmp_path, two_images(segmentation={"size": [50, 60], "counts": counts}, bbox=None))
        assert masks(split) == [int(mask.sum())] * 2, counts


@pytest.mark.parametrize("part", [[1, 2, 3, 4, 5, 6, 7], [None] * 6, "x", [[1, 2, 3]] * 4, {"counts": COUNTS}])
def test_a_part_that_cannot_be_read_is_doubted(tmp_path: Path, part: object) -> None:
    split = read(tmp_path, two_images(segmentation=[RECTANGLE, part]))
    assert masks(split) == [25 * 40] * 2
    assert "2 outlines have parts that are not pairs of numbers and are left out" in split.doubts[0].message
    assert "annotation 1 of a.png" in split.doubts[0].message


def test_a_polygon_whose_halves_have_opposite_areas_is_drawn(tmp_path: Path) -> None:
    split = read(tmp_path, two_images(segmentation=[[5, 5, 30, 45, 30, 5, 5, 45]]))
    assert not split.problems and masks(split)[0] == pytest.approx(25 * 40 / 2, rel=0.1)


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        (None, "has no outline"),
        ("M5,5 L30,5", "has no outline, but the text M5,5 L30,5"),
        ([], "has no outline"),
        ({}, "neither polygons nor run lengths"),
        ({"counts": COUNTS}, "run lengths for size None"),
        ({"size": [50, 60], "counts": [1, 2]}, "do not add up"),
        ({"size": [50, 60], "counts": [HUGE]}, "do not add up"),
        ({"size": [50, 60], "counts": [3000]}, "without area"),
        ({"size": [50, 60], "counts": "o" * 100_000}, "do not add up"),
        ([[0.1, 0.1, 0.5, 0.1, 0.5, 0.9]], "in fractions of the image's size"),
        ([[HUGE, 1, 5, 5, 9, 1]], "without area"),
        ([[None] * 8], "without area"),
        ([[True] * 8], "without area"),
        ([1, 2, 3, 4, 5], "without area"),
    ],
)
def test_an_outline_that_cannot_be_read_is_named_as_what_it_is(tmp_path: Path, segmentation: object, says: str) -> None:
    split = read(tmp_path, two_images(segmentation=segmentation))
    assert not split.scenes
    assert [says in error for error in errors(split)] == [True, True]


def test_many_of_one_fault_are_one_sentence(tmp_path: Path) -> None:
    people = [person(number, 1, BOX, segmentation=[]) for number in range(50)]
    split = read(tmp_path, document([image_entry(1, "a.png")], people))
    assert errors(split) == ["50 annotations have the same fault: the first, annotation 0 of a.png, has no outline"]


@pytest.mark.parametrize(
    ("bbox", "convention"),
    [
        ([20, 15, 45, 40], "[left, top, right, bottom]"),
        ([32.5, 27.5, 25, 25], "[centre x, centre y, width, height]"),
        ([45, 40, 20, 15], "[right, bottom, left, top]"),
        ([20 / 60, 15 / 50, 25 / 60, 25 / 50], "[left, top, width, height] in fractions of the image"),
        ([20 / 60, 15 / 50, 45 / 60, 40 / 50], "[left, top, right, bottom] in fractions of the image"),
        ([15 / 50, 20 / 60, 40 / 50, 45 / 60], "[top, left, bottom, right] in fractions of the image"),
        ([2000 / 60, 1500 / 50, 2500 / 60, 2500 / 50], "[left, top, width, height] in percent of the image"),
        ([2000 / 60, 1500 / 50, 4500 / 60, 4000 / 50], "[left, top, right, bottom] in percent of the image"),
        ([333, 300, 750, 800], "[left, top, right, bottom] in thousandths of the image"),
        ([300, 333, 800, 750], "[top, left, bottom, right] in thousandths of the image"),
    ],
)
def test_boxes_of_another_convention_are_doubted_and_the_outlines_bounds_used(
    tmp_path: Path, bbox: list[float], convention: str
) -> None:
    outline = [[20, 15, 45, 15, 45, 40, 20, 40]]
    split = read(tmp_path, two_images(bbox=bbox, segmentation=outline))
    assert [scene.boxes for scene in split.scenes] == [((20, 15, 45, 40),)] * 2
    assert f"2 of 2 boxes are {convention}" in split.doubts[0].message


@pytest.mark.parametrize(
    ("bbox", "mirrored", "mend"),
    [
        (
            [20, 25, 25, 20],
            "mirrored top to bottom",
            "y becomes the image's height - y, less the box's height",
        ),
        ([15, 5, 25, 20], "mirrored left to right", "x becomes the image's width - x, less the box's width"),
        ([15, 25, 25, 20], "turned by 180 degrees", "width in a box, and y becomes the image's height - y"),
    ],
)
def test_boxes_that_are_mirrored_against_their_outlines_are_doubted_with_the_way_to_mend_them(
    tmp_path: Path, bbox: list[float], mirrored: str, mend: str
) -> None:
    """Boxes or outlines may be the wrong ones, so both are used as they are."""
    split = read(tmp_path, two_images(bbox=bbox, segmentation=[[20, 5, 45, 5, 45, 25, 20, 25]]))
    left, top, width, height = bbox
    assert [scene.boxes for scene in split.scenes] == [((left, top, left + width, top + height),)] * 2
    (doubt,) = split.doubts
    assert f"2 of 2 boxes match their outline only if they are {mirrored}: " in doubt.message
    assert mend in doubt.message and doubt.message.endswith("the first is annotation 1 of a.png")
    assert "COCO's origin is the upper left corner" in doubt.message


@pytest.mark.parametrize("bbox", [[20, 7, 25, 20], [20, 14, 25, 20], [3, 3, 8, 8]])
def test_boxes_that_are_loose_or_elsewhere_are_not_called_mirrored(tmp_path: Path, bbox: list[float]) -> None:
    split = read(tmp_path, two_images(bbox=bbox, segmentation=[[20, 5, 45, 5, 45, 25, 20, 25]]))
    assert not any("mirrored" in doubt.message or "turned" in doubt.message for doubt in split.doubts)


def test_boxes_with_width_and_height_exchanged_are_doubted_and_the_outlines_bounds_used(tmp_path: Path) -> None:
    split = read(tmp_path, two_images(bbox=[5, 5, 40, 25]))
    assert [scene.boxes for scene in split.scenes] == [(BOX,)] * 2
    assert "2 of 2 boxes are [left, top, height, width]" in split.doubts[0].message


def test_outlines_with_x_and_y_exchanged_are_named_as_the_other_possibility(tmp_path: Path) -> None:
    outline = [[15, 20, 15, 45, 40, 45, 40, 20]]
    split = read(tmp_path, two_images(bbox=[20, 15, 25, 25], segmentation=outline))
    assert "[top, left, height, width], unless x and y of the outlines are exchanged" in split.doubts[0].message


@pytest.mark.parametrize(
    ("scale", "says"),
    [
        ((0.5, 0.5), "none of the 6 outlines reaches beyond 50 % of the width and 45 % of the height of its image"),
        ((100 / 240, 100 / 200), "their coordinates may be in percent, or of a smaller image"),
        ((1.0, 1.0), ""),
    ],
)
def test_outlines_without_boxes_in_other_units_are_doubted(
    tmp_path: Path, scale: tuple[float, float], says: str
) -> None:
    gradient(240, 200).save(tmp_path / "large.png")
    outline = [coordinate * scale[axis] for point in ((20, 20), (240, 20), (240, 180)) for axis, coordinate in
               enumerate(point)]  # fmt: skip
    people = [person(number, 1, BOX, segmentation=[outline], bbox=None) for number in range(6)]
    split = read(tmp_path, document([{"id": 1, "file_name": "large.png", "width": 240, "height": 200}], people))
    assert [says in doubt.message for doubt in split.doubts] == ([True] if says else [])


def test_outlines_a_little_beyond_their_image_are_no_doubt(tmp_path: Path) -> None:
    outline = [[-4, 5, 30, 5, 30, 54, -4, 54]]
    split = read(tmp_path, two_images(bbox=[-4, 5, 34, 49], segmentation=outline))
    assert len(split.scenes) == 2 and not split.doubts
