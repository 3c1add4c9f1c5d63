"""Masks as people have them: palettes, void, one number, classes, smoothed edges."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from engine.tasks.person.data.readers.index import index_dataset
from tests.tasks.person.data.builders import gradient
from tests.tasks.person.data.readers.masks.drawn import (
    PEOPLE,
    Ids,
    doubts,
    expected,
    found,
    ids_of,
    palette,
    problems,
    ringed,
    write,
)

CERTAIN: dict[str, Callable[[NDArray[np.uint16]], Image.Image | Ids]] = {
    "8 bits": lambda ids: ids.astype(np.uint8),
    "16 bits": lambda ids: ids * 300,
    "grey as RGB": lambda ids: np.stack([ids.astype(np.uint8)] * 3, axis=-1),
    "grey with alpha": lambda ids: np.stack([ids.astype(np.uint8)] * 3 + [np.full(ids.shape, 255, np.uint8)], axis=-1),
    "grey with a cut-out": lambda ids: np.dstack([ids, ids, ids, np.where(ids > 0, 255, 0)]).astype(np.uint8),
    "palette": palette,
    "palette with void": lambda ids: palette(ringed(ids)),
}


@pytest.mark.parametrize("kind", CERTAIN)
def test_what_is_certain_is_read_without_a_doubt(tmp_path: Path, kind: str) -> None:
    index = index_dataset(write(tmp_path, CERTAIN[kind]))
    assert found(index) == expected()
    assert not doubts(index) and not problems(index)


def test_numbers_of_32_bits_are_kept(tmp_path: Path) -> None:
    assert found(index_dataset(write(tmp_path, lambda ids: ids.astype(np.int32) * 70_000, suffix=".tif"))) == expected()


def test_whole_numbers_in_floats_are_numbers_and_fractions_are_refused(tmp_path: Path) -> None:
    index = index_dataset(write(tmp_path, lambda ids: ids.astype(np.float32), suffix=".tiff"))
    assert found(index) == expected()
    Image.fromarray(ids_of(PEOPLE[0]).astype(np.float32) / 3).save(tmp_path / "masks" / "img0.tiff")
    assert "it has fractions" in " ".join(problems(index_dataset(tmp_path)))


def in_alpha(ids: NDArray[np.uint16]) -> NDArray[np.uint8]:
    black = np.zeros(ids.shape, np.uint8)
    return np.stack([black, black, black, np.where(ids > 0, 255, 0).astype(np.uint8)], axis=-1)


ONE_NUMBER: dict[str, Callable[[NDArray[np.uint16]], Image.Image | Ids]] = {
    "255": lambda ids: np.where(ids > 0, 255, 0).astype(np.uint8),
    "1": lambda ids: (ids > 0).astype(np.uint8),
    "one bit": lambda ids: Image.fromarray(np.where(ids > 0, 255, 0).astype(np.uint8)).convert("1"),
    "alpha": lambda ids: np.stack(
        [np.zeros_like(ids, np.uint8)] * 3 + [np.where(ids > 0, 255, 0).astype(np.uint8)], -1
    ),
    "class 15 and void": lambda ids: palette(ringed(np.where(ids > 0, 15, 0).astype(np.uint16))),
    "white ground": lambda ids: np.where(ids > 0, 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("kind", ONE_NUMBER)
def test_a_mask_of_people_against_background_is_said_to_be_one_and_its_parts_are_people(
    tmp_path: Path, kind: str
) -> None:
    index = index_dataset(write(tmp_path, ONE_NUMBER[kind]))
    assert {name: sorted(boxes) for name, boxes in found(index).items()} == expected()
    assert "every mask has the single number" in doubts(index)
    picture = index.train.scenes[0].read()
    assert [person.box for person in picture.people] == list(index.train.scenes[0].boxes)


def test_crumbs_of_a_mask_of_people_are_nobody(tmp_path: Path) -> None:
    def with_crumb(ids: NDArray[np.uint16]) -> NDArray[np.uint8]:
        mask = np.where(ids > 0, 255, 0).astype(np.uint8)
        mask[48, 1] = 255
        return mask

    assert {
        name: sorted(boxes) for name, boxes in found(index_dataset(write(tmp_path, with_crumb))).items()
    } == expected()


def test_a_number_along_the_whole_frame_is_the_background(tmp_path: Path) -> None:
    index = index_dataset(write(tmp_path, lambda ids: np.where(ids > 0, ids - 1, 255).astype(np.uint8)))
    assert found(index) == expected()
    assert "255 lies along the whole frame" in doubts(index)


def test_a_ring_of_255_in_a_grey_mask_is_void_and_said_to_be(tmp_path: Path) -> None:
    index = index_dataset(write(tmp_path, lambda ids: ringed(ids).astype(np.uint8)))
    assert found(index) == expected()
    assert "255 is read as void" in doubts(index)


@pytest.mark.parametrize("code", [254, 220, 99])
def test_a_ring_of_one_number_around_the_people_of_every_mask_is_void_and_said_to_be(tmp_path: Path, code: int) -> None:
    def with_code(ids: NDArray[np.uint16]) -> NDArray[np.uint8]:
        ring = ringed(ids)
        return np.where(ring == 255, code, ring).astype(np.uint8)

    index = index_dataset(write(tmp_path, with_code))
    assert found(index) == expected()
    assert f"{code} is read as void" in doubts(index)


def test_a_solid_255_among_grey_numbers_is_a_person(tmp_path: Path) -> None:
    index = index_dataset(write(tmp_path, lambda ids: np.where(ids == 2, 255, ids).astype(np.uint8)))
    assert found(index) == expected()


def with_strip(number: int) -> Callable[[NDArray[np.uint16]], Ids]:
    """Return masks whose lowest rows have a number of their own."""

    def draw(ids: NDArray[np.uint16]) -> NDArray[np.uint8]:
        mask = ids.astype(np.uint8)
        mask[47:][mask[47:] == 0] = number
        return mask

    return draw


def test_a_solid_255_in_every_grey_mask_is_doubted(tmp_path: Path) -> None:
    index = index_dataset(write(tmp_path, with_strip(255)))
    assert "255 is read as a person in 5 masks whose other numbers are small: if it means void" in doubts(index)


def test_one_255_among_many_masks_is_no_doubt(tmp_path: Path) -> None:
    masks = iter(range(5))
    index = index_dataset(write(tmp_path, lambda ids: np.where(ids == 2, 255 if next(masks) == 0 else 2, ids)))
    assert found(index) == expected() and not doubts(index)


@pytest.mark.parametrize("as_palette", [False, True])
def test_a_number_along_a_quarter_of_the_frame_in_most_masks_is_doubted(tmp_path: Path, as_palette: bool) -> None:
    draw = with_strip(9)
    index = index_dataset(write(tmp_path, lambda ids: palette(draw(ids)) if as_palette else draw(ids)))  # type: ignore[arg-type]
    assert "number 9 has a quarter of the frame's border in 5 of 5 masks, like sky or road" in doubts(index)


def test_cityscapes_instances_are_people_and_riders_alone(tmp_path: Path) -> None:
    def cityscapes(ids: NDArray[np.uint16]) -> NDArray[np.uint16]:
        mask = np.where(ids > 0, 24_000 + ids, 7).astype(np.uint16)
        mask[ids == 2] = 25_000
        mask[:3, :] = 23
        mask[46:, 10:30] = 26_001
        return mask

    index = index_dataset(write(tmp_path, cityscapes))
    assert found(index) == expected()
    assert "as Cityscapes has them" in doubts(index)


def test_mots_pedestrians_are_people_and_cars_are_not(tmp_path: Path) -> None:
    def mots(ids: NDArray[np.uint16]) -> NDArray[np.uint16]:
        mask = np.where(ids > 0, 2_000 + ids, 0).astype(np.uint16)
        mask[46:, 10:30], mask[46:, 40:] = 1_004, 10_000
        return mask

    assert found(index_dataset(write(tmp_path, mots))) == expected()


@pytest.mark.parametrize("ground", [7, 0])
def test_classes_are_doubted(tmp_path: Path, ground: int) -> None:
    def classes(ids: NDArray[np.uint16]) -> NDArray[np.uint8]:
        mask = np.where(ids > 0, 24, ground).astype(np.uint8)
        mask[:8] = 23 if ground else 0
        mask[46:, :20] = 26
        return mask

    assert "they may be classes" in doubts(index_dataset(write(tmp_path, classes)))


def test_a_jpeg_mask_is_refused(tmp_path: Path) -> None:
    index = index_dataset(write(tmp_path, lambda ids: np.where(ids > 0, 255, 0).astype(np.uint8), suffix=".jpg"))
    assert not found(index)
    assert all("JPEG mask does not keep its numbers" in problem for problem in problems(index))
    assert len(problems(index)) == 5


def test_a_webp_mask_is_read_if_it_is_without_losses_and_else_refused(tmp_path: Path) -> None:
    root = write(tmp_path, lambda ids: np.stack([ids.astype(np.uint8)] * 3, axis=-1))
    for file in sorted((root / "masks").iterdir()):
        Image.open(file).save(file.with_suffix(".webp"), lossless=file.stem != "img0")
        file.unlink()
    index = index_dataset(root)
    assert found(index) == {name: boxes for name, boxes in expected().items() if name != "img0.jpg"}
    assert "WEBP mask does not keep its numbers" in problems(index)[0]


def test_gif_masks_are_palettes(tmp_path: Path) -> None:
    assert found(index_dataset(write(tmp_path, palette, suffix=".gif"))) == expected()


SMOOTHED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resized": lambda image: image.resize((30, 25), Image.Resampling.BILINEAR).resize(
        (60, 50), Image.Resampling.BICUBIC
    ),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1)),
    "turned": lambda image: image.rotate(4, Image.Resampling.BICUBIC),
}


@pytest.mark.parametrize("kind", SMOOTHED)
def test_a_smoothed_mask_is_refused(tmp_path: Path, kind: str) -> None:
    def smoothed(ids: NDArray[np.uint16]) -> Image.Image:
        return SMOOTHED[kind](Image.fromarray((ids * 100).astype(np.uint8)))

    index = index_dataset(write(tmp_path, smoothed))
    assert not found(index)
    assert all("are scattered pixels" in problem for problem in problems(index))


def test_a_png_made_of_a_jpeg_mask_is_refused(tmp_path: Path) -> None:
    def lossy(ids: NDArray[np.uint16]) -> Image.Image:
        memory = io.BytesIO()
        Image.fromarray(np.where(ids > 0, 255, 0).astype(np.uint8)).save(memory, "JPEG", quality=60)
        return Image.open(memory)

    index = index_dataset(write(tmp_path, lossy))
    assert not found(index) and len(problems(index)) == 5


def test_where_most_masks_are_lossy_the_others_are_not_used(tmp_path: Path) -> None:
    def blurred(ids: NDArray[np.uint16]) -> Image.Image:
        return Image.fromarray((ids * 100).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))

    root = write(tmp_path, blurred)
    Image.fromarray(ids_of(PEOPLE[0]).astype(np.uint8)).save(root / "masks" / "img0.png")
    index = index_dataset(root)
    assert not found(index)
    assert "most masks of the folder have scattered pixels, so the numbers of img0.png are uncertain" in " ".join(
        problems(index)
    )


def test_many_small_people_are_no_dust(tmp_path: Path) -> None:
    crowd = np.zeros((50, 60), dtype=np.uint8)
    for turn in range(60):
        row, column = divmod(turn, 10)
        crowd[row * 8 : row * 8 + 3, column * 6 : column * 6 + 1 + turn % 4] = turn + 1
    index = index_dataset(write(tmp_path, lambda _: crowd))
    assert [len(boxes) for boxes in found(index).values()] == [60] * 5
    assert not doubts(index)


def test_pages_and_colours_are_refused_by_name(tmp_path: Path) -> None:
    root = write(tmp_path, lambda ids: ids.astype(np.uint8))
    Image.new("L", (60, 50)).save(root / "masks" / "img0.tif", save_all=True, append_images=[Image.new("L", (60, 50))])
    (root / "masks" / "img0.png").unlink()
    gradient(60, 50).save(root / "masks" / "img1.png")
    said = sorted(problems(index_dataset(root)))
    assert "several pages" in said[0] and "not one channel" in said[1]
