"""Splits are opened and checked before training starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UserError
from engine.tasks.person.data.sources import open_splits
from tests.tasks.person.data.builders import (
    SMALL_MODEL,
    data_config,
    read_annotations,
    write_annotations,
    write_coco,
    write_mask_folders,
)


def test_a_directory_gives_both_splits_and_its_problems(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    (root / "images" / "2.png").unlink()
    splits = open_splits(data_config(root), SMALL_MODEL, 0)
    assert (len(splits.train), len(splits.val)) == (4, 4)
    assert [problem.file for problem in splits.problems] == ["2.png"]


def test_mask_folders_give_both_splits(tmp_path: Path) -> None:
    splits = open_splits(data_config(write_mask_folders(tmp_path)), SMALL_MODEL, 0)
    assert (len(splits.train), len(splits.val)) == (8, 2)


def test_without_a_path_people_are_drawn() -> None:
    splits = open_splits(data_config(), SMALL_MODEL, 0)
    assert splits.train.sample(0, 0).sample_id.startswith("synthetic/train/")
    assert splits.val.sample(0, 0).sample_id.startswith("synthetic/val/")
    assert not splits.problems


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_people_is_a_users_error_that_names_it(tmp_path: Path, split: str) -> None:
    root = write_coco(tmp_path)
    write_annotations(root, split, {**read_annotations(root, split), "annotations": []})
    with pytest.raises(UserError, match=f"The {split} split of .* has nothing to train on.*data inspect"):
        open_splits(data_config(root), SMALL_MODEL, 0)


def test_a_split_of_damaged_images_is_a_users_error_with_the_first_reason(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    for number in (1, 2, 3):
        (root / "images" / f"{number}.png").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"train split.*\.png: the image cannot be decoded"):
        open_splits(data_config(root), SMALL_MODEL, 0)


def test_people_all_too_small_are_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no person is large enough: the largest of 6 is 25 x 40 pixels"):
        open_splits(data_config(write_coco(tmp_path), min_person_pixels=500), SMALL_MODEL, 0)


def test_one_good_image_among_damaged_ones_is_enough(tmp_path: Path) -> None:
    root = write_coco(tmp_path, num_train=5)
    for number in (1, 2, 3, 5):
        (root / "images" / f"{number}.png").write_bytes(b"broken")
    splits = open_splits(data_config(root), SMALL_MODEL, 0)
    assert {splits.train.sample(0, index).sample_id[:5] for index in range(10)} == {"4.png"}


def test_a_share_of_the_training_images_replaces_the_val_split(tmp_path: Path) -> None:
    root = write_coco(tmp_path, num_train=10)
    splits = open_splits(data_config(root, hold_out_share=0.3), SMALL_MODEL, 0)
    train, val = (
        {names.sample(0, at).sample_id.partition("#")[0] for at in range(len(names))}
        for names in (splits.train, splits.val)
    )
    assert (len(train), len(val)) == (7, 3)
    assert train | val == {f"{number}.png" for number in range(1, 11)}
    assert splits.notes[-1] == "3 of 10 training images with people are held out, in place of the val split"
    again = open_splits(data_config(root, hold_out_share=0.3), SMALL_MODEL, 1)
    assert [again.val.sample(0, at).sample_id for at in range(len(again.val))] == [
        splits.val.sample(0, at).sample_id for at in range(len(splits.val))
    ]
