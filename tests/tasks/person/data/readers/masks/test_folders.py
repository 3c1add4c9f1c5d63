"""Images with folders of instance masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.task import UnusableSample
from engine.tasks.person.data.readers.masks.folders import find_mask_folders, index_mask_folders
from engine.tasks.person.data.readers.scenes import SplitIndex
from tests.tasks.person.data.builders import gradient, write_mask_folders


def index(root: Path) -> tuple[SplitIndex, SplitIndex]:
    return index_mask_folders(find_mask_folders(root), "in_order")


def names(split: SplitIndex) -> list[str]:
    return [scene.name for scene in split.scenes]


def test_every_number_is_a_person_with_its_own_box_and_mask(tmp_path: Path) -> None:
    train, _ = index(write_mask_folders(tmp_path))
    scene = train.scenes[0]
    assert scene.boxes == ((5, 10, 25, 40), (30, 15, 50, 45))
    picture = scene.read()
    assert [person.mask_HW.sum() for person in picture.people] == [600, 600]
    assert [person.box for person in picture.people] == list(scene.boxes)


def test_every_fifth_file_is_for_validation_and_none_is_in_both(tmp_path: Path) -> None:
    train, val = index(write_mask_folders(tmp_path, count=12))
    assert names(val) == ["Ped00004.png", "Ped00009.png"]
    assert len(train.scenes) == 10 and not set(names(train)) & set(names(val))
    assert (train.num_images, val.num_images) == (10, 2)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_few_files_still_give_both_splits(tmp_path: Path, count: int) -> None:
    train, val = index(write_mask_folders(tmp_path, count=count))
    assert (len(train.scenes), len(val.scenes)) == (count - 1, 1)


def test_a_mask_of_another_size_is_reported_by_file_name(tmp_path: Path) -> None:
    write_mask_folders(tmp_path)
    Image.fromarray(np.ones((9, 9), dtype=np.uint8)).save(tmp_path / "PedMasks" / "Ped00001_mask.png")
    train, _ = index(tmp_path)
    assert len(train.scenes) == 3
    (problem,) = train.problems
    assert problem.file == "Ped00001.png"
    assert problem.error == "the image is 60 x 50 pixels, its mask Ped00001_mask.png is 9 x 9"


def test_an_image_without_a_mask_and_one_that_is_none_are_reported(tmp_path: Path) -> None:
    write_mask_folders(tmp_path)
    (tmp_path / "PedMasks" / "Ped00000_mask.png").unlink()
    (tmp_path / "PNGImages" / "Ped00001.png").write_bytes(b"nothing")
    train, _ = index(tmp_path)
    assert [problem.file for problem in train.problems] == ["Ped00000.png", "Ped00001.png"]
    assert "no mask Ped00000_mask.png or Ped00000.png in PedMasks" in train.problems[0].error
    assert len(train.scenes) == 2


def test_a_mask_may_have_the_images_own_name_and_large_numbers(tmp_path: Path) -> None:
    write_mask_folders(tmp_path, count=2)
    (tmp_path / "PedMasks" / "Ped00000_mask.png").unlink()
    ids = np.zeros((50, 60), dtype=np.uint16)
    ids[5:25, 5:25], ids[30:50, 30:60] = 60_000, 17
    Image.fromarray(ids).save(tmp_path / "PedMasks" / "Ped00000.png")
    train, _ = index(tmp_path)
    assert train.scenes[0].boxes == ((30, 30, 60, 50), (5, 5, 25, 25))


def test_an_empty_mask_gives_no_scene_and_no_problem(tmp_path: Path) -> None:
    write_mask_folders(tmp_path)
    Image.fromarray(np.zeros((50, 60), dtype=np.uint8)).save(tmp_path / "PedMasks" / "Ped00000_mask.png")
    train, _ = index(tmp_path)
    assert len(train.scenes) == 3 and not train.problems


def test_an_image_that_only_fits_its_mask_upright_is_turned(tmp_path: Path) -> None:
    write_mask_folders(tmp_path, count=2)
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient(50, 60).save(tmp_path / "PNGImages" / "Ped00000.png", exif=exif)
    train, _ = index(tmp_path)
    assert train.scenes[0].read().image.size == (60, 50)


def test_a_file_damaged_after_indexing_is_unusable_when_read(tmp_path: Path) -> None:
    train, _ = index(write_mask_folders(tmp_path))
    (tmp_path / "PedMasks" / "Ped00000_mask.png").write_bytes(json.dumps({}).encode())
    with pytest.raises(UnusableSample, match="mask cannot be decoded"):
        train.scenes[0].read()
