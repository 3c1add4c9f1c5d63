"""The boxes of a prediction from COCO annotations, COCO results, CSV and the command line, matched with images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.outputs.inference.prediction import GivenBoxes
from engine.tasks.person.inference.boxes.plan import Plan, plan_images
from tests.tasks.person.data.builders import document, gradient, image_entry, person


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A directory with a.png, 000000000007.jpg and sub/a.png, of 60 x 50 pixels."""
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "000000000007.jpg", "sub/a.png"):
        gradient(60, 50).save(folder / name)
    return folder


def written(tmp_path: Path, content: object, name: str = "boxes.json") -> Path:
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def planned(images: Path, file: Path | None = None, **given: Any) -> Plan:
    return plan_images((images,), GivenBoxes(file, **given))


def boxes_of(plan: Plan) -> dict[str, list[tuple[float, ...]]]:
    return {image.name: [box.box for box in image.boxes] for image in plan.images}


def test_annotations_give_the_people_of_given_images_without_crowds_and_other_categories(images: Path, tmp_path: Path):
    entries = [image_entry(1, "images/a.png"), image_entry(2, "000000000007.jpg"), image_entry(3, "elsewhere.png")]
    people = [person(10, 1, (5, 5, 30, 45)), person(11, 2, (0, 0, 9, 9), iscrowd=1), person(12, 3, (0, 0, 9, 9))]
    people += [person(13, 1, (1, 2, 4, 8), category_id=18), person(14, 1, (2, 2, 12, 22), segmentation=[])]
    plan = planned(images, written(tmp_path, document(entries, people)))
    assert boxes_of(plan) == {"a.png": [(5, 5, 30, 45), (2, 2, 12, 22)]}
    assert plan.images[0].image_id == 1 and plan.images[0].size == (60, 50)
    assert "1 crowd annotations (iscrowd=1) are left out" in plan.notes
    assert "images without a box: 2 of 3, the first is 000000000007.jpg" in plan.notes


def test_boxes_in_another_convention_and_without_an_area_are_replaced_by_the_bounds_of_outlines(
    images: Path, tmp_path: Path
):
    people = [person(n, 1, (5.0 + n, 5, 30, 45), bbox=[5.0 + n, 5, 30, 45]) for n in range(3)]
    people.append(person(9, 1, (7, 8, 20, 30), bbox=[0, 0, 0, 0]))
    plan = planned(images / "a.png", written(tmp_path, document([image_entry(1, "a.png")], people)))
    assert boxes_of(plan)["a.png"] == [(5.0, 5, 30, 45), (6.0, 5, 30, 45), (7.0, 5, 30, 45), (7, 8, 20, 30)]
    assert any("[left, top, right, bottom]" in note for note in plan.notes)


def test_a_box_that_is_none_is_a_fault_of_its_image(images: Path, tmp_path: Path):
    people = [person(10, 1, (5, 5, 30, 45), segmentation=None, bbox=["NaN", 1, 2, 3]), person(11, 1, (1, 1, 9, 9))]
    plan = planned(images / "a.png", written(tmp_path, document([image_entry(1, "a.png")], people)))
    assert boxes_of(plan)["a.png"] == [(1, 1, 9, 9)]
    assert plan.images[0].faults == ["annotation 10 has no box: its bbox is ['NaN', 1, 2, 3]"]


def test_a_repeated_image_id_leaves_its_boxes_out(images: Path, tmp_path: Path):
    entries = [image_entry(1, "images/a.png"), image_entry(1, "000000000007.jpg")]
    file = written(tmp_path, document(entries, [person(10, 1, (5, 5, 30, 45))]))
    with pytest.raises(UserError, match=r"has no box for any of the given images.*share their id"):
        planned(images, file)


RESULTS: list[dict[str, Any]] = [
    {"image_id": 7, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.9},
    {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.2},
    {"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.9},
    {"image_id": 99, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9},
    {"file_name": "images/a.png", "bbox": [0, 0, 10, 10]},
    {"image_id": "sub\\a.png", "bbox": [5, 5, 10, 10], "score": "0.5"},
    {"image_id": "sub/a.png", "bbox": [5, 5, 0, 10]},
    {"image_id": "sub/a.png", "bbox": [5, 5, 9, 9], "score": "high"},
]


def test_results_name_images_by_file_by_text_or_by_the_number_in_the_name(images: Path, tmp_path: Path):
    plan = planned(images, written(tmp_path, RESULTS), min_score=0.3)
    assert boxes_of(plan) == {
        "000000000007.jpg": [(1, 2, 31, 42)],
        "a.png": [(0, 0, 10, 10)],
        "sub/a.png": [(5, 5, 15, 15)],
    }
    by_name = {image.name: image for image in plan.images}
    assert by_name["000000000007.jpg"].image_id == 7 and by_name["000000000007.jpg"].boxes[0].score == 0.9
    assert by_name["sub/a.png"].boxes[0].score == 0.5 and by_name["a.png"].boxes[0].score is None
    assert by_name["sub/a.png"].faults == [
        "entry 7 has no box: it is [5, 5, 0, 10]",
        "entry 8 has a score that is not a number: high",
    ]
    assert {"1 box of other images left out", "1 box with a score under 0.3 left out"} <= set(plan.notes)
    assert "boxes of other categories left out: category 3 (1)" in plan.notes
    assert len({image.image_id for image in plan.images}) == 3


def test_a_list_of_images_gives_ids_sizes_and_the_category_of_people(images: Path, tmp_path: Path):
    listed = {"images": [image_entry(4, "a.png")], "categories": [{"id": 0, "name": "person"}]}
    results = [{"image_id": 4, "category_id": 0, "bbox": [1, 1, 5, 5]}, {"image_id": 4, "category_id": 1, "bbox": []}]
    image_list = written(tmp_path, listed, "images.json")
    plan = planned(images / "a.png", written(tmp_path, results), image_list=image_list)
    assert boxes_of(plan) == {"a.png": [(1, 1, 6, 6)]} and plan.images[0].size == (60, 50)


def test_a_detector_with_other_categories_needs_the_id_of_people(images: Path, tmp_path: Path):
    file = written(tmp_path, [{"image_id": 7, "category_id": 0, "bbox": [1, 2, 3, 4]}])
    with pytest.raises(UserError, match=r"of a person: category 0 \(1\); name the person's id by --category"):
        planned(images, file)
    assert boxes_of(planned(images, file, category="0")) == {"000000000007.jpg": [(1, 2, 4, 6)]}


def test_a_table_may_have_other_names_a_score_and_the_separator_of_a_spreadsheet(images: Path, tmp_path: Path):
    text = "image;x;y;width;height;score\na.png;1;2;3;4;0.5\n\nb.png;1;2;3;4;1\na.png;1;nan;3;4;1\na.png;9;9;9;9;0.1\n"
    plan = planned(images / "a.png", written(tmp_path, text, "boxes.csv"), min_score=0.2)
    assert boxes_of(plan) == {"a.png": [(1, 2, 4, 6)]} and plan.images[0].boxes[0].score == 0.5
    assert plan.images[0].faults == ["line 5 of boxes.csv has no box: it is ['1', 'nan', '3', '4']"]
    assert set(plan.notes) == {"1 box of other images left out", "1 box with a score under 0.2 left out"}


def test_a_box_for_all_is_in_every_image_once(images: Path):
    plan = plan_images((images, images / "a.png"), GivenBoxes(for_all=((1, 2, 3, 4), (0, 0, 9, 9))))
    assert boxes_of(plan) == {name: [(1, 2, 4, 6), (0, 0, 9, 9)] for name in ("000000000007.jpg", "a.png", "sub/a.png")}
    assert sorted(str(image.image_id) for image in plan.images) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("x,y\n1,2\n", "boxes.csv", r"has no column 'file': its first line must be file,x,y,w,h .* and is x, y"),
        ("", "boxes.csv", r"has no column 'file'.* and is nothing"),
        ("{]", "boxes.json", r"the boxes in .*boxes\.json cannot be read: the file is not readable JSON"),
        ({"annotations": []}, "boxes.json", r"it needs the lists images, annotations and categories"),
        (
            {"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]},
            "boxes.json",
            "there is no category 'person', only: cat",
        ),
        ([], "boxes.json", r"has no box for any of the given images, the first is a\.png"),
        ([{"image_id": 12, "bbox": [1, 1, 5, 5]}], "boxes.json", "1 box of other images left out"),
    ],
)
def test_a_file_without_usable_boxes_gives_one_sentence(
    images: Path, tmp_path: Path, content: object, name: str, message: str
):
    with pytest.raises(UserError, match=message) as refusal:
        planned(images / "a.png", written(tmp_path, content, name))
    assert "\n" not in str(refusal.value)


def test_missing_images_files_and_boxes_are_mistakes(images: Path, tmp_path: Path):
    with pytest.raises(UserError, match="this network refines given boxes: add --boxes FILE"):
        planned(images)
    with pytest.raises(UserError, match=r"there is no image .*none\.png"):
        planned(images / "none.png", for_all=((1, 1, 5, 5),))
    with pytest.raises(UserError, match=r"nothing\.json cannot be read: No such file"):
        planned(images, tmp_path / "nothing.json")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"there is no image in .*empty"):
        planned(tmp_path / "empty", for_all=((1, 1, 5, 5),))


def test_a_name_that_fits_several_images_is_ambiguous(images: Path, tmp_path: Path):
    (images / "b").mkdir()
    gradient(60, 50).save(images / "b" / "c.png")
    gradient(60, 50).save(images / "sub" / "c.png")
    file = written(tmp_path, [{"file_name": "c.png", "bbox": [1, 1, 5, 5]}, {"image_id": 7, "bbox": [1, 1, 5, 5]}])
    plan = planned(images, file)
    assert boxes_of(plan) == {"000000000007.jpg": [(1, 1, 6, 6)]}
    assert "the name 'c.png' in the file of boxes fits 2 given images" in plan.notes[0]
