"""COCO files are found under the names and in the folders that annotation tools write."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.tasks.person.data.readers.index import DatasetIndex, index_dataset
from tests.tasks.person.data.builders import document, gradient, image_entry, person, write_mask_folders

LAYOUTS: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "Roboflow": (("train/_annotations.coco.json", "train"), ("valid/_annotations.coco.json", "valid")),
    "CVAT": (("annotations/instances_Train.json", "images/Train"), ("annotations/instances_Val.json", "images/Val")),
    "FiftyOne": (("train/labels.json", "train/data"), ("validation/labels.json", "validation/data")),
    "plain names": (("train.json", "images"), ("val.json", "images")),
    "prefixed": (("annotations_train.json", "train"), ("annotations_valid.json", "valid")),
    "suffixed": (("annotations/train_annotations.json", "train"), ("annotations/validation_annotations.json", "val")),
    "keypoints": (
        ("annotations/person_keypoints_train2017.json", "train2017"),
        ("annotations/person_keypoints_val2017.json", "val2017"),
    ),
    "LVIS": (("lvis_v1_train.json", "train2017"), ("lvis_v1_val.json", "val2017")),
    "inside images": (("images/train/a.json", "images/train"), ("images/val/b.json", "images/val")),
    "camel case": (("trainAnnotations.json", "train"), ("valAnnotations.json", "val")),
    "one folder within": (("set/train/x.coco.json", "set/train"), ("set/valid/x.coco.json", "set/valid")),
    "two folders within": (("a/b/train/x.coco.json", "a/b/train"), ("a/b/valid/x.coco.json", "a/b/valid")),
    "a folder for each split": (("train/annotations/i.json", "train/images"), ("dev/annotations/i.json", "dev/images")),
}


def write_split(root: Path, json_file: str, images: str, names: list[str], **entry: Any) -> None:
    """One split with a person in each image."""
    (root / images).mkdir(parents=True, exist_ok=True)
    for name in names:
        gradient(60, 50).save(root / images / name)
    entries = [{**image_entry(number, name), **entry} for number, name in enumerate(names)]
    file = root / json_file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document(entries, [person(n, n, (5, 5, 30, 45)) for n in range(len(names))])))


def counts(index: DatasetIndex) -> tuple[int, int]:
    assert not index.train.problems + index.val.problems
    return len(index.train.scenes), len(index.val.scenes)


@pytest.mark.parametrize("tool", LAYOUTS)
def test_both_splits_of_a_tools_layout_are_found(tmp_path: Path, tool: str) -> None:
    for (json_file, images), names in zip(
        LAYOUTS[tool], (["a.png", "b.png", "c.png"], ["d.png", "e.png"]), strict=True
    ):
        write_split(tmp_path, json_file, images, names)
    index = index_dataset(tmp_path)
    assert counts(index) == (3, 2)
    assert [scene.name for scene in index.val.scenes] == ["d.png", "e.png"]


@pytest.mark.parametrize(
    ("json_file", "images"),
    [
        ("annotations/instances_default.json", "images/default"),
        ("annotations/instances_default.json", "images"),
        ("result.json", "images"),
        ("labels.json", "data"),
        ("annotations.json", "."),
        ("_annotations.coco.json", "."),
        ("instances_train.json", "images"),
        ("val.json", "val"),
        ("test/_annotations.coco.json", "test"),
        ("data/labels.json", "data/data"),
    ],
)
def test_of_a_single_split_one_image_in_five_is_held_out_and_that_is_said(
    tmp_path: Path, json_file: str, images: str
) -> None:
    write_split(tmp_path, json_file, images, [f"{number}.png" for number in range(10)])
    index = index_dataset(tmp_path)
    assert counts(index) == (8, 2)
    assert (index.train.num_images, index.val.num_images) == (8, 2)
    assert "one split" in index.notes[0] and json_file.rpartition("/")[2] in index.notes[0]


def test_what_is_held_out_depends_on_names_alone(tmp_path: Path) -> None:
    names = [f"{number}.png" for number in range(20)]
    write_split(tmp_path / "one", "labels.json", "data", names)
    write_split(tmp_path / "two", "result.json", "images", names[::-1])
    held = [{scene.name for scene in index_dataset(tmp_path / name).val.scenes} for name in ("one", "two")]
    assert held[0] == held[1] and len(held[0]) == 4


def test_a_test_split_is_left_alone_and_named(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        write_split(tmp_path, f"{split}/_annotations.coco.json", split, [f"{split}{n}.png" for n in range(2)])
    index = index_dataset(tmp_path)
    assert counts(index) == (2, 2)
    assert "valid/_annotations.coco.json" in index.notes[0] and "the test split is not used" in index.notes[0]


def test_without_validation_files_the_test_split_is_not_trained_on(tmp_path: Path) -> None:
    write_split(tmp_path, "train.json", "images", [f"{n}.png" for n in range(5)])
    write_split(tmp_path, "test.json", "images", [f"t{n}.png" for n in range(5)])
    assert counts(index_dataset(tmp_path)) == (4, 1)


def test_outlines_of_instances_count_more_than_those_of_keypoints_and_captions_are_none(tmp_path: Path) -> None:
    write_split(tmp_path, "annotations/instances_train2017.json", "train2017", ["a.png", "b.png"])
    write_split(tmp_path, "annotations/person_keypoints_train2017.json", "train2017", ["a.png"])
    write_split(tmp_path, "annotations/captions_train2017.json", "train2017", ["a.png"])
    write_split(tmp_path, "annotations/instances_val2017.json", "val2017", ["c.png"])
    assert counts(index_dataset(tmp_path)) == (2, 1)


def test_two_files_that_could_be_meant_are_named(tmp_path: Path) -> None:
    write_split(tmp_path, "first.json", "images", ["a.png"])
    write_split(tmp_path, "second.json", "images", ["a.png"])
    with pytest.raises(UserError, match=r"2 annotation files for all images: first.json and second.json"):
        index_dataset(tmp_path)


@pytest.mark.parametrize("names", [("cam1", "cam2"), ("cam_left", "rear"), ("2014", "2017")])
def test_subsets_without_a_split_are_named_and_none_is_chosen(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        write_split(tmp_path, f"annotations/instances_{name}.json", f"images/{name}", [f"{name}.png"])
    with pytest.raises(UserError, match=rf"annotations/instances_{names[0]}.json and annotations/instances_{names[1]}"):
        index_dataset(tmp_path)


def test_files_that_are_not_read_are_named(tmp_path: Path) -> None:
    write_split(tmp_path, "annotations/instances_train.json", "images/train", ["a.png", "b.png"])
    write_split(tmp_path, "annotations/person_keypoints_train.json", "images/train", ["a.png", "b.png"])
    for name in ("default", "train_old", "train_older", "train_oldest"):
        write_split(tmp_path, f"annotations/instances_{name}.json", "images/default", ["c.png"])
    index = index_dataset(tmp_path)
    assert counts(index) == (1, 1)
    _, _, unread = index.notes[0].partition("; not read: ")
    assert unread.startswith("annotations/instances_default.json, annotations/instances_train_old.json, ")
    assert unread.endswith(" and 1 more") and "keypoints" not in unread


def test_images_of_one_name_in_many_folders_are_divided_by_their_folders(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"images/scene{number}").mkdir(parents=True)
    write_split(tmp_path, "labels.json", "images", [f"scene{number}/rgb.png" for number in range(10)])
    assert counts(index_dataset(tmp_path)) == (8, 2)


def test_images_that_are_named_by_a_query_are_divided(tmp_path: Path) -> None:
    write_split(tmp_path, "result.json", "images", [f"{number}.png" for number in range(10)])
    file = tmp_path / "result.json"
    content = json.loads(file.read_text())
    for entry in content["images"]:
        entry["file_name"] = f"/data/local-files/?d=project%5C{entry['file_name']}"
    file.write_text(json.dumps(content))
    assert counts(index_dataset(tmp_path)) == (8, 2)


@pytest.mark.parametrize("name", ["instances_train.json.gz", "train.jsonl", "photographs.zip"])
def test_packed_files_are_named_where_no_layout_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=rf"unknown layout \(unpack or convert {name} first\)"):
        index_dataset(tmp_path)


def test_other_json_files_are_no_annotations(tmp_path: Path) -> None:
    write_split(tmp_path, "train.json", "images", ["a.png"])
    write_split(tmp_path, "val.json", "images", ["b.png"])
    for name in ("package.json", "classes.json", "._train.json"):
        (tmp_path / name).write_text('{"name": "x"}')
    assert counts(index_dataset(tmp_path)) == (1, 1)


def test_a_damaged_annotation_file_is_named_rather_than_passed_over(tmp_path: Path) -> None:
    write_split(tmp_path, "instances_train.json", "images", ["a.png"])
    (tmp_path / "instances_val.json").write_text('{"images": [')
    (problem,) = index_dataset(tmp_path).val.problems
    assert problem.file == "instances_val.json" and "not readable JSON" in problem.error


def test_mask_folders_with_a_json_file_of_another_name_stay_mask_folders(tmp_path: Path) -> None:
    write_mask_folders(tmp_path)
    (tmp_path / "notes.json").write_text('{"images": [], "annotations": []}')
    assert index_dataset(tmp_path).layout == "mask folders"


def test_an_archive_unpacked_into_a_folder_of_its_own_is_found(tmp_path: Path) -> None:
    write_split(tmp_path / "project", "train/_annotations.coco.json", "train", ["a.png", "b.png"])
    (tmp_path / "__MACOSX" / "project").mkdir(parents=True)
    assert counts(index_dataset(tmp_path)) == (1, 1)


def test_links_to_folders_are_followed_and_circles_of_links_end(tmp_path: Path) -> None:
    write_split(tmp_path / "far", "json/instances_train.json", "pictures", ["a.png", "b.png"])
    root = tmp_path / "data"
    root.mkdir()
    (root / "annotations").symlink_to(tmp_path / "far" / "json")
    (root / "photographs").symlink_to(tmp_path / "far" / "pictures")
    (root / "again").symlink_to(root)
    assert counts(index_dataset(root)) == (1, 1)


def test_a_pipe_is_no_annotation_file_and_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    write_split(tmp_path, "instances_val.json", "images", ["a.png", "b.png"])
    os.mkfifo(tmp_path / "instances_train.json")
    assert counts(index_dataset(tmp_path)) == (1, 1)
    (tmp_path / "instances_train.json").unlink()
    (tmp_path / "instances_train.json").symlink_to(tmp_path / "nowhere.json")
    (problem,) = index_dataset(tmp_path).train.problems
    assert (problem.file, problem.error) == (
        "instances_train.json",
        "the file cannot be read: No such file or directory",
    )


def test_a_missing_image_is_not_replaced_by_its_namesake_of_the_other_split(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_split(tmp_path, f"instances_{split}.json", split, ["0001.png", "0002.png"])
    (tmp_path / "train" / "0002.png").unlink()
    index = index_dataset(tmp_path)
    assert [scene.name for scene in index.train.scenes] == ["0001.png"]
    assert len(index.val.scenes) == 2
    (problem,) = index.train.problems
    assert problem.file == "0002.png" and "belongs to the other split" in problem.error


def test_images_of_one_split_in_the_folder_of_the_other_are_found(tmp_path: Path) -> None:
    write_split(tmp_path, "instances_train.json", "images/train", ["a.png", "b.png"])
    write_split(tmp_path, "instances_val.json", "images/val", ["c.png"])
    (tmp_path / "images/train/b.png").rename(tmp_path / "images/val/b.png")
    assert counts(index_dataset(tmp_path)) == (2, 1)


def test_images_that_both_splits_name_are_doubted_and_not_missing(tmp_path: Path) -> None:
    for split in ("train", "val"):
        write_split(tmp_path, f"instances_{split}.json", "val", ["a.png", "b.png"])
    for split in ("train", "val"):
        file = tmp_path / f"instances_{split}.json"
        file.write_text(file.read_text().replace('"a.png"', '"val/a.png"').replace('"b.png"', '"val/b.png"'))
    assert counts(index_dataset(tmp_path)) == (2, 2)
