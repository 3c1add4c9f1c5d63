"""Readable data that may not mean what they say are doubted, with an example; correct data are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.task import UnusableSample
from engine.tasks.person.config import SyntheticConfig
from engine.tasks.person.data.checks.doubts import NUM_PICTURES, Look, sample_doubts, shared_doubts
from engine.tasks.person.data.readers.reports.inspect import inspect_dataset
from engine.tasks.person.data.readers.scenes import Box, Mask, Picture, SplitIndex, cut_mask
from engine.tasks.person.data.sources import open_splits
from engine.tasks.person.data.synthetic.scenes import draw_index
from tests.tasks.person.data.builders import (
    SMALL_MODEL,
    data_config,
    gradient,
    read_annotations,
    write_annotations,
    write_coco,
    write_mask_folders,
)

SIZE = (60, 50)


@dataclass
class Staged:
    """A scene that shows what it is given."""

    name: str
    picture: Picture
    boxes: tuple[Box | None, ...] = ()
    file: Path | None = None
    num_reads: int = field(default=0)

    def read(self) -> Picture:
        self.num_reads += 1
        return self.picture


def mask(left: int, top: int, right: int, bottom: int) -> Mask:
    pixels = np.zeros((50, 60), dtype=np.bool_)
    pixels[top:bottom, left:right] = True
    return pixels


SOUND = (mask(5, 5, 25, 45), mask(22, 5, 47, 45))


def staged(number: int, masks: tuple[Mask, ...] = SOUND, box: Box | None = None) -> Staged:
    people = tuple(cut_mask(each, id=str(place), box=box) for place, each in enumerate(masks, 1))
    return Staged(f"{number}.png", Picture(gradient(*SIZE, number), people))


def said(train: list[Staged], val: list[Staged] | None = None) -> str:
    sound: list[Staged] = [staged(200 + number) for number in range(5)]
    doubts = sample_doubts(SplitIndex(tuple(train)), SplitIndex(tuple(sound if val is None else val)))
    return "\n".join(f"{doubt.file}: {doubt.message}" for doubt in doubts)


def test_sound_scenes_give_no_doubt() -> None:
    assert said([staged(number) for number in range(20)]) == ""


def test_the_built_in_people_give_no_doubt() -> None:
    index = draw_index(SyntheticConfig(num_train_scenes=40, num_val_scenes=10, image_size=96))
    assert sample_doubts(index.train, index.val) == ()


def sheared(pixels: Mask) -> Mask:
    """A mask whose rows were taken for columns."""
    return pixels.reshape(-1).reshape((60, 50)).T


def speckled(_: Mask) -> Mask:
    pixels = np.zeros((50, 60), dtype=np.bool_)
    pixels[5:45:2, 5:50:3] = True
    return pixels


def ringed(_: Mask) -> Mask:
    return mask(5, 5, 55, 45) & ~mask(6, 6, 54, 44)


def in_parts(_: Mask) -> Mask:
    return mask(2, 5, 20, 45) | mask(35, 5, 55, 45)


WRONG: dict[str, tuple[Callable[[Mask], Mask], str]] = {
    "rows taken for columns": (
        sheared,
        "have a box that is not that of their mask, such as person 1: box (5, 5, 25, 45)",
    ),
    "scattered pixels": (speckled, "have a mask of scattered pixels, such as person 1"),
    "outlines": (ringed, "have a mask that is but an outline"),
    "complement": (np.logical_not, "mask and background may be exchanged"),
    "several people in one mask": (in_parts, "several people may have one mask"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_masks_that_are_something_else_are_doubted_with_an_example(kind: str) -> None:
    spoil, words = WRONG[kind]
    box = (5.0, 5.0, 25.0, 45.0) if spoil is sheared else None
    train = [staged(number, (spoil(SOUND[0]),), box) for number in range(6)]
    text = said(train)
    assert words in text and "\n" not in text
    assert text.partition(":")[0] in {scene.name for scene in train}


def test_one_person_in_parts_among_many_is_no_doubt() -> None:
    assert said([staged(0, (in_parts(SOUND[0]), *SOUND)), *(staged(number) for number in range(1, 9))]) == ""


def test_a_person_twice_and_a_black_image_are_named() -> None:
    scenes = [staged(number) for number in range(8)]
    scenes[3] = staged(3, (SOUND[0], SOUND[1], SOUND[0], SOUND[1]))
    scenes[5].picture = Picture(Image.new("RGB", SIZE), scenes[5].picture.people)
    text = said(scenes)
    assert "3.png: 1 of 8 checked images have the same person twice, such as persons 1 and 3" in text
    assert "5.png: 1 of 8 checked images have one colour alone" in text


def test_nearly_black_images_are_named_as_12_bits_in_16() -> None:
    scenes = [staged(number) for number in range(8)]
    for scene in scenes[:4]:
        dark = scene.picture.image.point([value // 17 for value in range(256)] * 3)
        scene.picture = Picture(dark, scene.picture.people)
    assert "4 of 8 checked images are nearly black, as 10 or 12 bits in a file of 16 are" in said(scenes)


def test_no_more_than_a_few_pictures_are_read_and_always_the_same() -> None:
    train = [staged(number) for number in range(300)]
    said(train)
    first = [scene.num_reads for scene in train]
    assert 0 < sum(first) <= NUM_PICTURES
    shorter = min(sum(first), 4)
    said(train)
    both = [b for a, b in zip(first, [scene.num_reads for scene in train], strict=True) if a and b == 2 * a]
    assert len(both) >= shorter


def test_pictures_that_cannot_be_read_are_no_doubt_of_their_own() -> None:
    @dataclass
    class Unreadable(Staged):
        def read(self) -> Picture:
            raise UnusableSample("no")

    assert said([Unreadable("x", Picture(gradient(*SIZE), ()))]) == ""


def test_the_same_annotations_for_both_splits_are_doubted(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    write_annotations(root, "val", read_annotations(root, "train"))
    (doubt,) = open_splits(data_config(root), SMALL_MODEL, 0).doubts
    assert doubt.message.startswith("3 of 3 validation images are in train too")
    assert inspect_dataset(root).splits[1].doubts == (doubt,)


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_equal_pictures_under_two_names_are_doubted(tmp_path: Path, suffix: str) -> None:
    root = write_coco(tmp_path)
    content = read_annotations(root, "val")
    if suffix == ".png":
        (root / "images" / "101.png").write_bytes((root / "images" / "2.png").read_bytes())
    else:
        Image.open(root / "images" / "2.png").save(root / "images" / "101.bmp")
        content["images"][0]["file_name"] = "101.bmp"
        write_annotations(root, "val", content)
    (doubt,) = open_splits(data_config(root), SMALL_MODEL, 0).doubts
    assert doubt.file == f"101{suffix}"
    assert doubt.message.startswith(f"1 of 2 validation images are in train too, 101{suffix} there is 2.png here")


def test_equal_files_are_found_among_those_that_are_not_looked_at(tmp_path: Path) -> None:
    train, val = staged(1), staged(2)
    for scene, content in ((train, b"x" * 40_000), (val, b"x" * 39_999 + b"y")):
        scene.file = tmp_path / scene.name
        scene.file.write_bytes(content)
    splits = SplitIndex((train,)), SplitIndex((val,))
    assert shared_doubts(*splits, Look(), Look()) == ()
    val.file = tmp_path / "again.png"
    val.file.write_bytes(b"x" * 40_000)
    (doubt,) = shared_doubts(*splits, Look(), Look())
    assert doubt.message.startswith("1 of 1 validation images are in train too, 2.png there is 1.png here")


def test_an_image_listed_twice_is_doubted(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    content = read_annotations(root, "train")
    content["images"][1]["file_name"] = "1.png"
    write_annotations(root, "train", content)
    (doubt,) = open_splits(data_config(root), SMALL_MODEL, 0).doubts
    assert doubt.file == "1.png"
    assert doubt.message.startswith("1 images are listed twice")


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_rotation_that_is_not_applied_is_doubted(tmp_path: Path, orientation: int) -> None:
    root = write_coco(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = orientation
    gradient(*SIZE, 1).save(root / "images" / "1.png", exif=exif)
    (doubt,) = open_splits(data_config(root), SMALL_MODEL, 0).doubts
    assert doubt.file == "1.png"
    assert f"1 of 3 checked images have an EXIF rotation (orientation {orientation})" in doubt.message


def test_a_rotation_that_the_annotations_follow_is_applied_without_a_doubt(tmp_path: Path) -> None:
    root = write_mask_folders(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    gradient(50, 60).save(root / "PNGImages" / "Ped00001.png", exif=exif)
    assert open_splits(data_config(root), SMALL_MODEL, 0).doubts == ()


def test_a_box_and_its_person_are_compared_at_the_start_of_a_run(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    content = read_annotations(root, "train")
    for annotation in content["annotations"]:
        annotation["bbox"] = [50, 1, 9, 9]
    write_annotations(root, "train", content)
    doubts = inspect_dataset(root).splits[0].doubts
    assert any("have a box that is not that of their mask" in doubt.message for doubt in doubts)
