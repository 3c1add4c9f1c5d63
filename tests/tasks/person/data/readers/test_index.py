"""Layouts are recognised by the files they have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.tasks.person.data.readers.index import index_dataset
from tests.tasks.person.data.builders import (
    document,
    gradient,
    image_entry,
    person,
    read_annotations,
    write_annotations,
    write_coco,
    write_mask_folders,
)


def test_a_person_subset_is_found(tmp_path: Path) -> None:
    index = index_dataset(write_coco(tmp_path))
    assert index.layout == "COCO JSON"
    assert (len(index.train.scenes), len(index.val.scenes)) == (3, 2)
    assert not index.train.problems + index.val.problems


def test_coco_as_it_ships_is_found(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for split in ("train2017", "val2017"):
        (tmp_path / split).mkdir()
        gradient(60, 50).save(tmp_path / split / f"{split}.png")
        content = document([image_entry(1, f"{split}.png")], [person(1, 1, (5, 5, 30, 45))])
        write_annotations(tmp_path / "annotations", split, content)
    index = index_dataset(tmp_path)
    assert [scene.name for scene in (*index.train.scenes, *index.val.scenes)] == ["train2017.png", "val2017.png"]
    assert index.val.scenes[0].read().image.size == (60, 50)


def test_mask_folders_are_found(tmp_path: Path) -> None:
    assert index_dataset(write_mask_folders(tmp_path)).layout == "mask folders"


def test_of_several_years_the_latest_counts(tmp_path: Path) -> None:
    write_coco(tmp_path)
    empty = {**read_annotations(tmp_path, "train"), "annotations": []}
    (tmp_path / "annotations").mkdir()
    full = read_annotations(tmp_path, "train")
    for file in tmp_path.glob("instances_train.json"):
        file.unlink()
    write_annotations(tmp_path / "annotations", "train2014", empty)
    write_annotations(tmp_path / "annotations", "train2017", full)
    assert len(index_dataset(tmp_path).train.scenes) == 3


def test_a_path_that_is_not_there_or_no_directory_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist.*instances_train2017.json.*PedMasks"):
        index_dataset(tmp_path / "nowhere")
    (tmp_path / "file.json").write_text("{}")
    with pytest.raises(UserError, match="is a file, not a directory"):
        index_dataset(tmp_path / "file.json")


def test_an_unknown_layout_is_a_users_error_that_lists_the_known(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(UserError, match=r"an unknown layout.*instances_train2017.json.*PNGImages"):
        index_dataset(tmp_path)


def test_indexing_and_inspecting_import_no_torch() -> None:
    readers = "engine.tasks.person.data.readers"
    code = f"import {readers}.reports.inspect, {readers}.index, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
