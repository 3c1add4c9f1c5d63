"""Copies of pictures are found if they were re-encoded or resized, other pictures of the same people are not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.tasks.person.data.checks.copies import copies, thumbnail
from engine.tasks.person.data.readers.reports.inspect import inspect_dataset
from engine.tasks.person.data.readers.scenes import Picture, cut_mask
from tests.tasks.person.data.builders import gradient, read_annotations, write_annotations, write_coco


def picture(image: Image.Image, left: int = 10) -> Picture:
    """The image with one person, whose place is in units of 1/80 of the width."""
    width, height = image.size
    mask = np.zeros((height, width), dtype=np.bool_)
    mask[height // 5 : height // 2, left * width // 80 : (left + 20) * width // 80] = True
    return Picture(image, (cut_mask(mask, id="1"),))


def encoded(image: Image.Image, quality: int) -> Image.Image:
    memory = io.BytesIO()
    image.save(memory, "JPEG", quality=quality)
    return Image.open(memory).convert("RGB")


def are_copies(one: Picture, other: Picture) -> bool:
    return list(copies({"a": thumbnail(one)}, {"b": thumbnail(other)})) == [("a", "b")]


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_an_encoded_picture_is_a_copy(quality: int) -> None:
    image = gradient(80, 60)
    assert are_copies(picture(image), picture(encoded(image, quality)))


def test_a_resized_picture_is_a_copy() -> None:
    image = gradient(80, 60)
    assert are_copies(picture(image), picture(image.resize((160, 120), Image.Resampling.BICUBIC)))


def test_another_picture_and_one_with_other_people_are_none() -> None:
    image = gradient(80, 60)
    assert not are_copies(picture(image), picture(gradient(80, 60, 60)))
    assert not are_copies(picture(image), picture(image, left=30))
    assert not are_copies(picture(image), Picture(image, ()))


def test_without_pictures_there_are_none() -> None:
    own = {"a": thumbnail(picture(gradient(80, 60)))}
    assert not list(copies({}, own)) and not list(copies(own, {})) and not list(copies({}, {}))


def test_validation_images_that_were_encoded_again_are_doubted(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    content = read_annotations(root, "val")
    for entry, number in zip(content["images"], (1, 2), strict=True):
        entry["file_name"] = f"copy{number}.jpg"
        Image.open(root / "images" / f"{number}.png").save(root / "images" / f"copy{number}.jpg", quality=80)
    write_annotations(root, "val", content)
    (doubt,) = inspect_dataset(root).splits[1].doubts
    assert doubt.file == "copy1.jpg"
    assert doubt.message.startswith("2 validation images look like copies of images in train, such as copy1.jpg of ")
