"""Masks as people have them: palettes, void, one number, classes, smoothed edges, nested folders, odd names."""

from __future__ import annotations

import io
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from engine.tasks.person.data.readers.index import DatasetIndex, index_dataset
from engine.tasks.person.data.readers.inspect import inspect_dataset
from tests.tasks.person.data.builders import gradient

Ids = NDArray[np.generic]
Box = tuple[int, int, int, int]
PEOPLE: tuple[tuple[Box, ...], ...] = (
    ((4, 4, 24, 44), (34, 10, 54, 40)),
    ((6, 6, 30, 46), (40, 4, 58, 34)),
    ((12, 8, 36, 44),),
    ((2, 12, 20, 40), (28, 6, 50, 46)),
    ((20, 10, 44, 42),),
)


def ids_of(people: tuple[Box, ...], first: int = 1, step: int = 1) -> NDArray[np.uint16]:
    """A mask of 60 x 50 pixels with rectangles numbered from `first`."""
    ids = np.zeros((50, 60), dtype=np.uint16)
    for turn, (left, top, right, bottom) in enumerate(people):
        ids[top:bottom, left:right] = first + turn * step
    return ids


def write(root: Path, mask_of: Callable[[NDArray[np.uint16]], Image.Image | Ids], suffix: str = ".png") -> Path:
    """Five images, each with the mask that `mask_of` makes of its numbers."""
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for turn, people in enumerate(PEOPLE):
        gradient(60, 50).rotate(turn).save(root / "images" / f"img{turn}.jpg")
        mask = mask_of(ids_of(people))
        (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(root / "masks" / f"img{turn}{suffix}")
    return root


def found(index: DatasetIndex) -> dict[str, list[Box]]:
    """The boxes of every image, of both splits."""
    scenes = (*index.train.scenes, *index.val.scenes)
    return {scene.name: [tuple(int(edge) for edge in box) for box in scene.boxes if box] for scene in scenes}  # pyright: ignore[reportReturnType]


def expected() -> dict[str, list[Box]]:
    return {f"img{turn}.jpg": list(people) for turn, people in enumerate(PEOPLE)}


def palette(ids: NDArray[np.integer]) -> Image.Image:
    image = Image.fromarray(ids.astype(np.uint8)).convert("P")
    image.putdata(ids.reshape(-1).tolist())
    image.putpalette([value for number in range(256) for value in (number, 255 - number, 128)])
    return image


def ringed(ids: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """The numbers with a ring of 255 around each person, beyond its bounds."""
    grown = np.asarray(Image.fromarray(ids.astype(np.uint8)).filter(ImageFilter.MaxFilter(5)))
    return np.where((ids == 0) & (grown > 0), 255, ids).astype(np.uint16)


def doubts(index: DatasetIndex) -> str:
    return "\n".join(f"{doubt.file}: {doubt.message}" for doubt in index.train.doubts + index.val.doubts)


def problems(index: DatasetIndex) -> list[str]:
    return [f"{problem.file}: {problem.error}" for problem in index.train.problems + index.val.problems]


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


def move(root: Path, layout: str) -> None:
    """Put images 0 to 2 into train and the others into val, in folders as `layout` names them."""
    for folder, suffix in (("images", "jpg"), ("masks", "png")):
        for turn in range(5):
            split = "train" if turn < 3 else "val"
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
