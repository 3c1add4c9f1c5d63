"""COCO JSON: people are found, what is wrong is listed by file, and good images are never lost to bad ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.task import UnusableSample
from engine.tasks.person.data.readers.coco.reader import CocoOptions, index_coco
from engine.tasks.person.data.readers.image_lookup import ImageFinder
from engine.tasks.person.data.readers.scenes import SplitIndex
from tests.tasks.person.data.builders import document, gradient, image_entry, person


def index(root: Path, content: object) -> SplitIndex:
    file = root / "instances_train.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return index_coco(file, ImageFinder(root, [root / "nowhere", root]), CocoOptions())


def one_image(root: Path, *annotations: dict[str, Any], name: str = "a.png") -> SplitIndex:
    gradient(60, 50).save(root / name)
    return index(root, document([image_entry(1, name)], list(annotations)))


def errors(split: SplitIndex) -> list[tuple[str, str]]:
    return [(problem.file, problem.error) for problem in split.problems]


def test_people_of_an_image_are_one_scene_with_box_and_mask(tmp_path: Path) -> None:
    split = one_image(tmp_path, person(1, 1, (5, 5, 30, 45)), person(2, 1, (20.5, 4, 50, 40)))
    (scene,) = split.scenes
    assert scene.boxes == ((5, 5, 30, 45), (20.5, 4, 50, 40))
    picture = scene.read()
    assert np.array_equal(np.asarray(picture.image), np.asarray(gradient(60, 50)))
    first = picture.people[0]
    assert (first.id, first.column, first.row, first.mask_HW.shape) == ("1", 5, 5, (40, 25))
    assert first.mask_HW.all() and not split.problems


def test_crowds_and_other_categories_are_no_people(tmp_path: Path) -> None:
    crowd = person(2, 1, (0, 0, 50, 40), iscrowd=1, segmentation={"size": [50, 60], "counts": [3000]})
    split = one_image(tmp_path, person(1, 1, (5, 5, 30, 45)), crowd, person(3, 1, (1, 1, 40, 40), category_id=18))
    assert len(split.scenes[0].boxes) == 1
    assert split.num_crowds == 1
    assert not split.problems


def test_the_person_category_is_found_by_name_whatever_its_number(tmp_path: Path) -> None:
    gradient(60, 50).save(tmp_path / "a.png")
    content = document([image_entry(1, "a.png")], [person(1, 1, (5, 5, 30, 45), category_id=7)])
    content["categories"] = [{"id": 7, "name": "Person"}, {"id": 1, "name": "bicycle"}]
    assert len(index(tmp_path, content).scenes) == 1


def test_without_a_person_category_the_file_is_reported_with_what_it_has(tmp_path: Path) -> None:
    content = document([image_entry(1, "a.png")], [person(1, 1, (5, 5, 30, 45))])
    content["categories"] = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    split = index(tmp_path, content)
    says = "there is no category 'person', only: cat, dog; rename the category of the people to it"
    assert errors(split) == [("instances_train.json", says)]
    assert not split.scenes


@pytest.mark.parametrize(
    "content", ["", "{", "[1, 2]", '{"images": []}', '{"images": 1, "annotations": 2}', "\x00\x01"]
)
def test_what_is_no_coco_json_is_reported(tmp_path: Path, content: str) -> None:
    split = index(tmp_path, content)
    assert not split.scenes
    assert [file for file, _ in errors(split)] == ["instances_train.json"]
    assert "JSON" in split.problems[0].error


def test_entries_that_are_no_objects_are_passed_over(tmp_path: Path) -> None:
    gradient(60, 50).save(tmp_path / "a.png")
    content = document([image_entry(1, "a.png")], [person(1, 1, (5, 5, 30, 45))])
    content["images"] += [None, 3]
    content["annotations"] += ["x", [1], None, {"category_id": 1, "image_id": [1]}]
    content["categories"] += [None]
    assert len(index(tmp_path, content).scenes) == 1


def test_a_missing_image_is_reported_by_name_and_the_others_are_used(tmp_path: Path) -> None:
    gradient(60, 50).save(tmp_path / "b.png")
    images = [image_entry(1, "a.png"), image_entry(2, "b.png")]
    split = index(tmp_path, document(images, [person(n, n, (5, 5, 30, 45)) for n in (1, 2)]))
    assert [scene.name for scene in split.scenes] == ["b.png"]
    assert errors(split) == [("a.png", "the image file is missing (looked for in all folders of the data)")]


def test_annotations_of_unknown_images_are_counted_in_one_problem(tmp_path: Path) -> None:
    split = one_image(tmp_path, person(1, 1, (5, 5, 30, 45)), *(person(n, 99, (5, 5, 30, 45)) for n in (7, 8)))
    assert len(split.scenes) == 1
    assert [file for file, _ in errors(split)] == ["instances_train.json"]
    assert "2 annotations belong to images that are not listed; the first is annotation 7" in split.problems[0].error


def test_a_degenerate_polygon_is_reported_and_the_other_people_are_kept(tmp_path: Path) -> None:
    split = one_image(tmp_path, person(1, 1, (5, 5, 30, 45)), person(2, 1, (5, 5, 30, 45), segmentation=[[1, 1, 2, 2]]))
    assert len(split.scenes[0].boxes) == 1
    assert errors(split) == [("a.png", "annotation 2 has an outline without area")]


def test_a_box_outside_the_image_makes_no_target_but_the_person_stays_in_the_scene(tmp_path: Path) -> None:
    stray = person(2, 1, (20, 5, 50, 45), bbox=[200, 200, 30, 40])
    split = one_image(tmp_path, person(1, 1, (5, 5, 30, 45)), stray)
    assert split.scenes[0].boxes == ((5, 5, 30, 45), None)
    assert len(split.scenes[0].read().people) == 2
    assert errors(split) == [("a.png", "annotation 2 has a box outside the image")]


def test_a_box_that_reaches_beyond_the_image_is_cut_to_it(tmp_path: Path) -> None:
    split = one_image(tmp_path, person(1, 1, (-10, -5, 30, 90)))
    assert split.scenes[0].boxes == ((0, 0, 30, 50),)


@pytest.mark.parametrize("bbox", [None, [], [1, 2, 3], ["a", 1, 2, 3], "box"])
def test_a_box_that_is_none_is_taken_from_the_outline(tmp_path: Path, bbox: object) -> None:
    split = one_image(tmp_path, person(1, 1, (5, 6, 30, 45), bbox=bbox))
    assert split.scenes[0].boxes == ((5, 6, 30, 45),)


def test_without_sizes_in_the_file_the_images_own_are_used(tmp_path: Path) -> None:
    gradient(60, 50).save(tmp_path / "a.png")
    split = index(tmp_path, document([{"id": 1, "file_name": "a.png"}], [person(1, 1, (5, 5, 30, 45))]))
    assert split.scenes[0].read().people[0].mask_HW.sum() == 25 * 40


def test_an_image_of_another_size_than_listed_is_unusable_when_read(tmp_path: Path) -> None:
    gradient(30, 30).save(tmp_path / "a.png")
    split = index(tmp_path, document([image_entry(1, "a.png")], [person(1, 1, (5, 5, 30, 45))]))
    with pytest.raises(UnusableSample, match="30 x 30 pixels, its annotations are for 60 x 50"):
        split.scenes[0].read()


def test_an_image_entry_without_a_file_name_is_reported(tmp_path: Path) -> None:
    split = index(tmp_path, document([{"id": 1, "width": 5, "height": 5}], [person(1, 1, (0, 0, 5, 5))]))
    assert errors(split) == [("instances_train.json", "image 1 has no file name")]


def test_more_than_ten_people_are_all_kept(tmp_path: Path) -> None:
    split = one_image(tmp_path, *(person(n, 1, (n, n, n + 20, n + 20)) for n in range(1, 16)))
    assert len(split.scenes[0].boxes) == 15


def test_image_ids_may_be_text(tmp_path: Path) -> None:
    gradient(60, 50).save(tmp_path / "a.png")
    content = document([{**image_entry(1, "a.png"), "id": "first"}], [person(1, "first", (5, 5, 30, 45))])
    assert len(index(tmp_path, content).scenes) == 1


def test_the_image_folder_is_found_even_where_its_first_images_are_missing(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(40)]
    for name in names[25:]:
        gradient(60, 50).save(tmp_path / name)
    images = [image_entry(number, name) for number, name in enumerate(names)]
    split = index(tmp_path, document(images, [person(n, n, (5, 5, 30, 45)) for n in range(40)]))
    assert len(split.scenes) == 15
    assert len(split.problems) == 25
