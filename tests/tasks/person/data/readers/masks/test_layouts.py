"""Folders of masks as people have them: splits, nested folders, odd names, files of operating systems."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.tasks.person.data.readers.index import index_dataset
from engine.tasks.person.data.readers.reports.inspect import inspect_dataset
from tests.tasks.person.data.builders import gradient
from tests.tasks.person.data.readers.masks.drawn import (
    PEOPLE,
    doubts,
    expected,
    found,
    ids_of,
    palette,
    problems,
    write,
)


def test_what_operating_systems_leave_behind_takes_no_place_in_the_validation_split(tmp_path: Path) -> None:
    root = write(tmp_path, lambda ids: ids.astype(np.uint8))
    before = index_dataset(root)
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        for turn in range(5):
            (root / folder / f"._img{turn}.{suffix}").write_bytes(b"\0\5\26\7")
        (root / folder / "__MACOSX").mkdir()
        (root / folder / "__MACOSX" / f"img0.{suffix}").write_bytes(b"nothing")
        (root / folder / ".DS_Store").write_bytes(b"")
        (root / folder / "Thumbs.db").write_bytes(b"")
    after = index_dataset(root)
    assert not problems(after)
    assert (after.train.num_images, after.val.num_images) == (4, 1)
    assert [scene.name for scene in after.val.scenes] == [scene.name for scene in before.val.scenes]


def move(root: Path, layout: str, splits: tuple[str, str] = ("train", "val")) -> None:
    """Put images 0 to 2 into train and the others into val, in folders as `layout` names them."""
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        for turn in range(5):
            split = splits[turn >= 3]
            target = root / layout.format(folder=folder, split=split)
            target.mkdir(parents=True, exist_ok=True)
            (root / folder / f"img{turn}.{suffix}").rename(target / f"img{turn}.{suffix}")
        if layout.startswith("{split}"):
            (root / folder).rmdir()


@pytest.mark.parametrize("layout", ["{folder}/{split}", "{split}/{folder}", "{folder}/{split}/city"])
def test_folders_of_splits_are_the_splits(tmp_path: Path, layout: str) -> None:
    root = write(tmp_path, lambda ids: ids.astype(np.uint8))
    move(root, layout)
    index = index_dataset(root)
    assert index.notes == ()
    assert [Path(scene.name).name for scene in index.train.scenes] == ["img0.jpg", "img1.jpg", "img2.jpg"]
    assert [Path(scene.name).name for scene in index.val.scenes] == ["img3.jpg", "img4.jpg"]


@pytest.mark.parametrize("splits", [("train2017", "val2017"), ("trn", "dev"), ("my_train", "my_eval")])
@pytest.mark.parametrize("layout", ["{folder}/{split}", "{split}/{folder}"])
def test_folders_whose_names_hold_a_split_are_the_splits(tmp_path: Path, layout: str, splits: tuple[str, str]) -> None:
    root = write(tmp_path, lambda ids: ids.astype(np.uint8))
    move(root, layout, splits)
    index = index_dataset(root)
    assert (index.train.num_images, index.val.num_images, index.notes) == (3, 2, ())


def test_images_next_to_the_folders_of_the_splits_do_not_mix_them(tmp_path: Path) -> None:
    root = write(tmp_path, lambda ids: ids.astype(np.uint8))
    move(root, "{folder}/{split}")
    gradient(60, 50).save(root / "images" / "cover.jpg")
    index = index_dataset(root)
    assert (index.train.num_images, index.val.num_images) == (3, 2)
    assert index.notes == ("not read, next to the folders of the splits: images/cover.jpg",)
    Image.fromarray(ids_of(PEOPLE[0]).astype(np.uint8)).save(root / "masks" / "cover.png")
    assert index_dataset(root).is_divided


@pytest.mark.parametrize("layout", ["{folder}/{split}", "{split}/{folder}"])
def test_images_of_a_test_split_are_named_as_not_read(tmp_path: Path, layout: str) -> None:
    root = write(tmp_path, lambda ids: ids.astype(np.uint8))
    move(root, layout)
    target = root / layout.format(folder="images", split="test")
    target.mkdir(parents=True)
    gradient(60, 50).save(target / "t.png")
    index = index_dataset(root)
    assert index.notes == (f"not read: the images in {layout.format(folder='images', split='test')}",)
    assert (index.train.num_images, index.val.num_images) == (3, 2)


def test_the_name_of_the_directory_itself_is_no_split(tmp_path: Path) -> None:
    for name in ("test", "train"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, lambda ids: ids.astype(np.uint8))
    assert [note for note in index_dataset(tmp_path / "train").notes if "not read" in note] == []


def test_a_validation_split_without_masks_is_named_as_not_read(tmp_path: Path) -> None:
    root = write(tmp_path, lambda ids: ids.astype(np.uint8))
    move(root, "{folder}/{split}")
    shutil.rmtree(root / "masks" / "val")
    index = index_dataset(root)
    assert index.notes[1] == "not read: the images in images/val"
    assert (index.train.num_images, index.val.num_images) == (2, 1)


def test_masks_of_no_image_are_doubted(tmp_path: Path) -> None:
    root = write(tmp_path, lambda ids: ids.astype(np.uint8))
    for name in ("img0_1.png", "img1_1.png", "img1_color.png", "img0.bmp"):
        Image.fromarray(ids_of(PEOPLE[0]).astype(np.uint8)).save(root / "masks" / name)
    index = index_dataset(root)
    assert found(index) == expected()
    assert doubts(index).startswith("img0_1.png: 2 masks belong to no image and are not read, such as img0_1.png")


def test_folders_next_to_other_files_may_be_in_one_folder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    write(tmp_path / "set", lambda ids: ids.astype(np.uint8))
    (tmp_path / "README.md").write_text("about")
    assert found(index_dataset(tmp_path)) == expected()


@pytest.mark.parametrize(
    ("images", "masks"), [("image", "mask"), ("images", "mask"), ("JPEGImages", "SegmentationObject"), ("IMG", "Mask")]
)
def test_other_names_of_the_folders_are_known(tmp_path: Path, images: str, masks: str) -> None:
    root = write(tmp_path, palette)
    (root / "images").rename(root / images)
    (root / "masks").rename(root / masks)
    assert found(index_dataset(root)) == expected()


def test_a_train_folder_alone_and_folders_that_are_no_splits_are_split_by_names(tmp_path: Path) -> None:
    root = write(tmp_path, lambda ids: ids.astype(np.uint8))
    for folder in ("images", "masks"):
        (root / folder).rename(root / "all")
        (root / folder).mkdir()
        (root / "all").rename(root / folder / "train")
    assert [split.num_images for split in (index_dataset(root).train, index_dataset(root).val)] == [4, 1]
    assert "every 5th of its images is held out" in index_dataset(root).notes[0]
    for folder in ("images", "masks"):
        (root / folder / "train").rename(root / folder / "Tuesday")
    index = index_dataset(root)
    assert (index.train.num_images, index.val.num_images) == (4, 1)
    assert not problems(index)


def test_folders_without_an_image_are_named(tmp_path: Path) -> None:
    for folder in ("images/deep", "masks/deep"):
        (tmp_path / folder).mkdir(parents=True)
    assert "images: the folder holds no image" in problems(index_dataset(tmp_path))
    assert not inspect_dataset(tmp_path).is_usable


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("a.JPG", "a.PNG"),
        ("a.jpg", "a_mask.PNG"),
        ("a.jpg", "A.png"),
        ("a.jpg", "mask_a.png"),
        ("a_image.png", "a_mask.png"),
        ("b_leftImg8bit.png", "b_gtFine_instanceIds.png"),
        ("é.jpg", unicodedata.normalize("NFD", "é") + ".png"),
        ("two words.jpg", "two words.png"),
        ("a.b.c.jpg", "a.b.c.png"),
        ("a.jpg", "a.jpg.png"),
        ("a.jpg", "a_segmentation.png"),
        ("sub/a.jpg", "a.png"),
    ],
)
def test_masks_are_paired_as_a_person_would(tmp_path: Path, image: str, mask: str) -> None:
    root = write(tmp_path, lambda ids: ids.astype(np.uint8))
    (root / "images" / image).parent.mkdir(exist_ok=True)
    (root / "images" / "img2.jpg").rename(root / "images" / image)
    (root / "masks" / "img2.png").rename(root / "masks" / mask)
    index = index_dataset(root)
    assert found(index)[image] == list(PEOPLE[2])
    assert not problems(index)


def test_two_images_with_one_mask_are_one_and_a_problem(tmp_path: Path) -> None:
    root = write(tmp_path, lambda ids: ids.astype(np.uint8))
    gradient(60, 50).save(root / "images" / "img1.png")
    index = index_dataset(root)
    assert problems(index) == ["img1.png: its mask img1.png is that of img1.jpg already"]
    assert found(index) == expected()


def test_of_two_masks_the_one_without_losses_counts(tmp_path: Path) -> None:
    root = write(tmp_path, lambda ids: ids.astype(np.uint8))
    gradient(60, 50).save(root / "masks" / "img1.jpg")
    assert found(index_dataset(root)) == expected()
