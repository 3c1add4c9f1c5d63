"""Values in other types than COCO's are read where their meaning is certain, and named where it is not."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.tasks.person.data.readers.coco.reader import CocoOptions
from tests.tasks.person.data.builders import document, gradient, image_entry, person
from tests.tasks.person.data.readers.coco.reading import (
    BOX,
    HUGE,
    RECTANGLE,
    errors,
    read,
    two_images,
)


@pytest.mark.parametrize("value", [1, 1.0, "1", " 1 ", "1.0", "person"])
def test_a_category_id_of_any_type_is_that_category(tmp_path: Path, value: object) -> None:
    split = read(tmp_path, two_images(category_id=value))
    assert len(split.scenes) == 2 and not split.problems


@pytest.mark.parametrize("value", [[1], None, {}, True, "man", 2, 1.5, HUGE, ""])
def test_a_category_id_that_is_not_listed_is_counted_and_named(tmp_path: Path, value: object) -> None:
    content = two_images()
    content["annotations"] += [person(n, 1, BOX, category_id=value) for n in range(10, 15)]
    split = read(tmp_path, content)
    assert len(split.scenes) == 2
    (error,) = errors(split)
    assert error.startswith("5 annotations have the same fault: the first, annotation 10 of instances_train.json")
    assert "category id that is not listed" in error


@pytest.mark.parametrize("value", [0, 0.0, "0", False, None, "false", "False", "", "no", "0.0"])
def test_what_means_no_crowd_is_none(tmp_path: Path, value: object) -> None:
    split = read(tmp_path, two_images(iscrowd=value))
    assert (len(split.scenes), split.num_crowds) == (2, 0) and not split.problems


@pytest.mark.parametrize("value", [1, 1.0, "1", True, "true"])
def test_what_means_a_crowd_is_one_and_crowds_alone_are_named_with_the_way_out(tmp_path: Path, value: object) -> None:
    split = read(tmp_path, two_images(iscrowd=value))
    assert (len(split.scenes), split.num_crowds) == (0, 2)
    (error,) = errors(split)
    assert "all 2 person annotations are crowds" in error and "data.use_crowds=true" in error
    assert len(read(tmp_path, two_images(iscrowd=value), CocoOptions(use_crowds=True)).scenes) == 2


@pytest.mark.parametrize("value", [[0], {}, 2, -1, 0.5, "maybe", HUGE])
def test_a_crowd_flag_that_means_neither_is_named_and_left_out(tmp_path: Path, value: object) -> None:
    content = two_images()
    content["annotations"][0]["iscrowd"] = value
    split = read(tmp_path, content)
    assert [scene.name for scene in split.scenes] == ["b.png"]
    assert errors(split)[0].startswith("annotation 1 has an iscrowd that is neither 0 nor 1")


@pytest.mark.parametrize(
    ("listed", "used"),
    [(1, "1"), ("1", 1), (1.0, 1), ("1", 1.0), (1.5, 1.5), ("a", "a"), (HUGE, HUGE), ("007", 7), (-1, "-1"), (0, "0")],
)
def test_image_ids_match_as_numbers_or_as_text(tmp_path: Path, listed: object, used: object) -> None:
    content = document([{**image_entry(1, "a.png"), "id": listed}], [person(1, used, BOX)])
    assert len(read(tmp_path, content).scenes) == 1


def test_fractional_image_ids_keep_their_images_apart(tmp_path: Path) -> None:
    images = [{**image_entry(1, name), "id": number} for name, number in (("a.png", 1.5), ("b.png", 2.5))]
    split = read(tmp_path, document(images, [person(1, 2.5, BOX), person(2, 2.5, BOX), person(3, 1.5, BOX)]))
    assert [(scene.name, len(scene.boxes)) for scene in split.scenes] == [("a.png", 1), ("b.png", 2)]


def test_ids_that_only_text_keeps_apart_are_compared_as_text(tmp_path: Path) -> None:
    images = [{**image_entry(1, name), "id": number} for name, number in (("a.png", "01"), ("b.png", "1"))]
    split = read(tmp_path, document(images, [person(1, "1", BOX), person(2, "01", BOX), person(3, "01", BOX)]))
    assert [(scene.name, len(scene.boxes)) for scene in split.scenes] == [("a.png", 2), ("b.png", 1)]


@pytest.mark.parametrize("ids", [(1, 1), (1, 1.0), ("1", "1"), (2.5, 2.5)])
def test_images_with_a_repeated_id_are_named_and_refused(tmp_path: Path, ids: tuple[object, object]) -> None:
    images = [{**image_entry(1, name), "id": number} for name, number in zip(("a.png", "b.png"), ids, strict=True)]
    content = document([*images, image_entry(9, "c.png")], [person(1, ids[0], BOX), person(2, 9, BOX)])
    split = read(tmp_path, content)
    assert [scene.name for scene in split.scenes] == ["c.png"]
    (error,) = errors(split)
    assert f"image id {ids[0]!r}".replace("'", "") in error and "is repeated, 2 images have it (a.png, b.png)" in error


def test_an_image_that_is_listed_twice_alike_is_one_image(tmp_path: Path) -> None:
    content = two_images()
    content["images"] += content["images"]
    split = read(tmp_path, content)
    assert len(split.scenes) == 2 and not split.problems


@pytest.mark.parametrize("value", [[1], None, {}, True])
def test_images_without_an_id_are_named(tmp_path: Path, value: object) -> None:
    content = two_images()
    content["images"][0]["id"] = value
    split = read(tmp_path, content)
    assert [scene.name for scene in split.scenes] == ["b.png"]
    assert any("image a.png has an invalid id" in error for error in errors(split))


@pytest.mark.parametrize("size", [(60, 50), (60.0, 50.0), ("60", "50"), ("60.0", 50)])
def test_sizes_of_any_type_are_read(tmp_path: Path, size: tuple[object, object]) -> None:
    content = two_images()
    content["images"][0].update(width=size[0], height=size[1])
    split = read(tmp_path, content)
    assert split.scenes[0].size == (60, 50) and not split.doubts  # type: ignore[attr-defined]


@pytest.mark.parametrize("value", [0, -5, "wide", [60], True, HUGE, 1e300, 60.5, {}])
def test_a_size_that_is_none_is_doubted_and_the_files_own_is_used(tmp_path: Path, value: object) -> None:
    content = two_images()
    content["images"][0]["width"] = value
    split = read(tmp_path, content)
    assert split.scenes[0].size == (60, 50)  # type: ignore[attr-defined]
    assert "1 images have a width or height that is no number of pixels" in split.doubts[0].message


def test_a_size_beyond_what_pycocotools_counts_is_none(tmp_path: Path) -> None:
    content = two_images(segmentation={"size": [99_999, 99_999], "counts": [99_999**2]})
    for entry in content["images"]:
        entry.update(width=99_999, height=99_999)
    split = read(tmp_path, content)
    assert not split.scenes and "run lengths for size [99999, 99999]" in errors(split)[0]


@pytest.mark.parametrize(
    "bbox", [["5", "5", "25", "40"], [5.0, 5, 25, 40], [0, 0, 0, 0], None, "box", [5, 5, 0, 40], {}]
)
def test_a_box_in_text_or_without_area_still_gives_the_region(tmp_path: Path, bbox: object) -> None:
    split = read(tmp_path, two_images(bbox=bbox))
    assert [scene.boxes for scene in split.scenes] == [(BOX,), (BOX,)] and not split.problems + split.doubts


def test_outlines_for_an_image_of_another_size_are_doubted(tmp_path: Path) -> None:
    outline = [[4 * value for value in RECTANGLE]]
    split = read(tmp_path, two_images(bbox=[20, 20, 100, 160], segmentation=outline))
    assert split.doubts[0].message == (
        "2 of 2 outlines extend far beyond their image: their coordinates may be of an image of another size; "
        "the first is annotation 1 of a.png, an image of 60 x 50 pixels"
    )


def test_loose_boxes_of_another_convention_give_way_where_most_are_so(tmp_path: Path) -> None:
    outline = [[20, 15, 45, 15, 45, 40, 20, 40]]
    split = read(tmp_path, two_images(bbox=[17, 13, 47, 43], segmentation=outline))
    assert [scene.boxes for scene in split.scenes] == [((20, 15, 45, 40),)] * 2


def test_loose_boxes_of_cocos_convention_are_kept(tmp_path: Path) -> None:
    split = read(tmp_path, two_images(bbox=[3, 2, 32, 46]))
    assert [scene.boxes for scene in split.scenes] == [((3, 2, 35, 48),)] * 2 and not split.doubts


@pytest.mark.parametrize("field", ["file_name", "coco_url", "filename", "path", "flickr_url", "url"])
def test_the_files_name_is_found_in_other_fields(tmp_path: Path, field: str) -> None:
    content = two_images()
    for entry in content["images"]:
        entry[field] = f"http://images.example.org/train2017/{entry.pop('file_name')}"
    assert len(read(tmp_path, content).scenes) == 2


def test_a_person_by_lvis_is_found_by_its_synonym(tmp_path: Path) -> None:
    content = two_images()
    content["categories"] = [{"id": 1, "name": "baby", "synonyms": ["baby", "person", "man"]}]
    assert len(read(tmp_path, content).scenes) == 2


def with_categories(names: tuple[str, str], second: int) -> dict[str, Any]:
    """Two images whose categories 1 and 2 have `names`, the second annotation of category `second`."""
    content = two_images()
    content["categories"] = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    content["annotations"][1]["category_id"] = second
    return content


@pytest.mark.parametrize("name", ["pedestrian", "People", "human", "rider"])
def test_people_of_another_category_next_to_person_are_doubted(tmp_path: Path, name: str) -> None:
    split = read(tmp_path, with_categories(("person", name), second=2))
    assert [scene.name for scene in split.scenes] == ["a.png"]
    (doubt,) = split.doubts
    assert doubt.message == f"1 annotations of other people ({name}) are not read: rename their category to person"
    assert not read(tmp_path, with_categories(("person", name), second=1)).doubts
    assert not read(tmp_path, with_categories(("person", "dog"), second=2)).doubts


@pytest.mark.parametrize("names", [("dog", "person"), ("person", "dog")])
def test_a_category_id_that_person_shares_is_doubted(tmp_path: Path, names: tuple[str, str]) -> None:
    content = two_images()
    content["categories"] = [{"id": 1, "name": name} for name in names]
    (doubt,) = read(tmp_path, content).doubts
    assert doubt.message == "category id 1 is both dog and person: all 2 annotations with it are read as people"


def test_several_categories_named_person_are_one(tmp_path: Path) -> None:
    split = read(tmp_path, with_categories(("person", " Person"), second=2))
    assert len(split.scenes) == 2 and not split.doubts


@pytest.mark.parametrize("name", ["pedestrian", "people", "human", "1"])
def test_without_the_category_person_the_others_are_named(tmp_path: Path, name: str) -> None:
    split = read(tmp_path, with_categories((name, "dog"), second=1))
    assert not split.scenes
    assert f"there is no category 'person', only: {', '.join(sorted((name, 'dog')))}" in errors(split)[0]


def test_annotations_of_other_categories_alone_are_counted(tmp_path: Path) -> None:
    content = with_categories(("dog", "person"), second=1)
    assert errors(read(tmp_path, content)) == ["no annotation is of the category 'person', only of: dog (2)"]


def test_what_is_compressed_or_one_value_per_line_is_said_to_be_so(tmp_path: Path) -> None:
    assert errors(read(tmp_path, gzip.compress(b"{}"))) == ["the file is compressed by gzip: unpack it"]
    assert "per line" not in errors(read(tmp_path, json.dumps(two_images()) + "\0"))[0]
    assert "one JSON value per line" in errors(read(tmp_path, '{"id": 1}\n{"id": 2}\n'))[0]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("", "(it is empty)"),
        ('{"images": [1,], "annotations": []}', "(a comma before a closing bracket: remove it)"),
        ('{"images": [],\n}', "(a comma before a closing bracket: remove it)"),
        ('{"images": [{"id": 1', "(it ends in the middle: copy or export it again)"),
        ('{"images": [{"file_name": "a', "(it ends in the middle: copy or export it again)"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "(it is a pointer of Git LFS: get the file"),
        ("<!DOCTYPE html>", "(it is no JSON at all)"),
    ],
)
def test_the_likely_cause_of_a_syntax_error_is_said(tmp_path: Path, content: str, cause: str) -> None:
    assert cause in errors(read(tmp_path, content))[0]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_files_in_other_encodings_are_read(tmp_path: Path, encoding: str) -> None:
    assert len(read(tmp_path, json.dumps(two_images()).encode(encoding)).scenes) == 2


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "9" * 400, "9" * 5000])
def test_numbers_that_are_none_cost_only_their_own_annotation(tmp_path: Path, number: str) -> None:
    text = json.dumps(two_images()).replace('"segmentation": [[5,', f'"segmentation": [[{number},', 1)
    split = read(tmp_path, text)
    assert [scene.name for scene in split.scenes] == ["b.png"]
    assert errors(split) == ["annotation 1 has an outline without area: it is not pairs of numbers"]


def test_what_is_read_is_said_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.tasks.person.data.readers.coco.reader._SAY_EVERY", 0.0)
    said: list[str] = []
    read(tmp_path, two_images(), CocoOptions(say=said.append))
    assert said[0].startswith("reading instances_train.json (0.0 MB)")
    assert said[-1] == "reading instances_train.json: 1 of 2 images with people"


def test_the_regions_of_a_well_formed_file_are_those_of_pycocotools(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    rng = np.random.default_rng(0)
    people: list[dict[str, Any]] = []
    for number in range(30):
        corners = rng.uniform((-5, -5), (65, 55), size=(int(rng.integers(3, 9)), 2)).round(2)
        fields = {"bbox": [*corners.min(0).tolist(), *np.ptp(corners, axis=0).tolist()]}
        people.append(person(number, number % 2 + 1, BOX, segmentation=[corners.reshape(-1).tolist()], **fields))
    images = [image_entry(1, "a.png"), image_entry(2, "b.png")]
    split = read(tmp_path, document(images, people))
    reference = COCO(str(tmp_path / "instances_train.json"))
    for image, scene in enumerate(split.scenes, 1):
        annotations = reference.imgToAnns[image]
        assert [p.id for p in scene.read().people] == [str(annotation["id"]) for annotation in annotations]
        for drawn, annotation in zip(scene.read().people, annotations, strict=True):
            whole = np.zeros((50, 60), dtype=bool)
            height, width = drawn.mask_HW.shape
            whole[drawn.row : drawn.row + height, drawn.column : drawn.column + width] = drawn.mask_HW
            assert np.array_equal(whole, reference.annToMask(annotation).astype(bool))


def test_annotations_may_name_the_file_of_their_image(tmp_path: Path) -> None:
    content = two_images()
    for annotation, name in zip(content["annotations"], ("a.png", "b.png"), strict=True):
        annotation["image_id"] = name
    split = read(tmp_path, content)
    assert [scene.name for scene in split.scenes] == ["a.png", "b.png"] and not split.problems


@pytest.mark.parametrize("key", ["is_crowd", "isCrowd"])
def test_a_crowd_under_another_key_is_one(tmp_path: Path, key: str) -> None:
    content = two_images(iscrowd=None)
    content["annotations"][0][key] = 1
    split = read(tmp_path, content)
    assert [scene.name for scene in split.scenes] == ["b.png"] and split.num_crowds == 1


def test_many_crowds_are_doubted_with_the_way_to_use_them(tmp_path: Path) -> None:
    people = [person(number, 1, BOX, iscrowd=int(number < 2)) for number in range(6)]
    split = read(tmp_path, document([image_entry(1, "a.png")], people))
    assert split.num_crowds == 2
    assert "2 of 6 person annotations are crowds (iscrowd=1)" in split.doubts[0].message
    assert "data.use_crowds=true" in split.doubts[0].message
    few = [person(number, 1, BOX, iscrowd=int(number < 1)) for number in range(6)]
    assert not read(tmp_path, document([image_entry(1, "a.png")], few)).doubts


def test_image_ids_that_differ_only_in_their_form_are_doubted(tmp_path: Path) -> None:
    content = two_images()
    content["images"][1]["id"] = "1"
    content["annotations"][1]["image_id"] = 1
    split = read(tmp_path, content)
    assert len(split.scenes) == 1 and "such as 1 and '1', are read as different images" in split.doubts[0].message


def test_image_ids_that_are_shifted_by_one_are_doubted(tmp_path: Path) -> None:
    content = two_images()
    for annotation in content["annotations"]:
        annotation["image_id"] -= 1
    split = read(tmp_path, content)
    assert "1 annotations belong to images that are not listed" in errors(split)[0]
    assert "include 0 but not 2: they may be shifted by one" in split.doubts[0].message


def test_entries_that_are_no_objects_are_counted(tmp_path: Path) -> None:
    content = two_images()
    content["annotations"].insert(0, None)
    split = read(tmp_path, content)
    assert len(split.scenes) == 2 and errors(split) == ["entry 1 of the annotations is not an object"]


def test_a_number_is_a_file_name_without_suffix(tmp_path: Path) -> None:
    gradient(60, 50).save(tmp_path / "7.png")
    content = two_images()
    content["images"][0]["file_name"] = 7
    assert [scene.name for scene in read(tmp_path, content).scenes] == ["7", "b.png"]
