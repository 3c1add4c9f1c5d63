"""Image files of every mode become 8-bit RGB in the frame of their annotations."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.task import UnusableSample
from engine.tasks.person.data.readers.pixels import displayed_size, read_ids, read_image, stored_size
from tests.tasks.person.data.builders import gradient

ROTATED = 6
UPSIDE_DOWN = 3


def save_with_orientation(file: Path, orientation: int, size: tuple[int, int] = (20, 12)) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    gradient(*size).save(file, exif=exif)


def test_a_truncated_jpeg_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "cut.jpg"
    gradient(200, 150).save(file, quality=95)
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(UnusableSample, match=r"cannot be decoded.*truncated"):
        read_image(file)


@pytest.mark.parametrize("content", [b"", b"no image at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_a_file_that_is_no_image_is_reported(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(content)
    with pytest.raises(UnusableSample, match="cannot be decoded"):
        read_image(file)


def test_a_png_with_a_damaged_body_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    gradient(40, 40).save(file)
    content = bytearray(file.read_bytes())
    content[60:80] = b"\xff" * 20
    file.write_bytes(bytes(content))
    with pytest.raises(UnusableSample, match="cannot be decoded"):
        read_image(file)


def test_a_missing_image_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UnusableSample, match="missing"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(UnusableSample, match="missing"):
        stored_size(tmp_path / "none.jpg")


def test_grey_is_repeated_over_the_channels(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 100], [200, 255]], dtype=np.uint8)).save(tmp_path / "g.png")
    pixels = np.asarray(read_image(tmp_path / "g.png"))
    assert pixels.shape == (2, 2, 3)
    assert (pixels == np.array([[0, 100], [200, 255]])[..., None]).all()


def test_16_bits_are_scaled_not_cut_off(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257], [32896, 65535]], dtype=np.uint16)).save(tmp_path / "deep.png")
    pixels = np.asarray(read_image(tmp_path / "deep.png"))
    assert pixels[..., 0].tolist() == [[0, 1], [128, 255]]


def test_a_dark_16_bit_image_stays_dark(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 200, dtype=np.uint16)).save(tmp_path / "dark.png")
    assert np.asarray(read_image(tmp_path / "dark.png")).max() == 1


def test_floats_between_0_and_1_fill_the_range(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)).save(tmp_path / "f.tif")
    assert np.asarray(read_image(tmp_path / "f.tif"))[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk_gives_the_colours_it_was_made_of(tmp_path: Path) -> None:
    red = Image.new("RGB", (16, 16), (220, 30, 40))
    red.convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    pixels = np.asarray(read_image(tmp_path / "c.jpg")).astype(int)
    assert np.abs(pixels - (220, 30, 40)).max() < 8


def test_a_palette_with_transparency_keeps_its_colours_without_a_warning(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    image.save(tmp_path / "p.png", transparency=b"\x00\x80")
    assert np.asarray(read_image(tmp_path / "p.png"))[0, 0].tolist() == [10, 200, 30]


def test_alpha_is_dropped(tmp_path: Path) -> None:
    Image.new("RGBA", (3, 3), (10, 20, 30, 0)).save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png"))[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("orientation", [ROTATED, UPSIDE_DOWN])
def test_an_exif_rotation_is_ignored_where_the_annotations_are_on_the_stored_pixels(
    tmp_path: Path, orientation: int
) -> None:
    file = tmp_path / "e.png"
    save_with_orientation(file, orientation)
    assert np.array_equal(np.asarray(read_image(file, (20, 12))), np.asarray(gradient(20, 12)))
    assert read_image(file).size == (20, 12)


def test_an_exif_rotation_is_applied_where_only_so_the_annotations_fit(tmp_path: Path) -> None:
    file = tmp_path / "e.png"
    save_with_orientation(file, ROTATED)
    turned = read_image(file, (12, 20))
    assert np.array_equal(np.asarray(turned), np.rot90(np.asarray(gradient(20, 12)), k=-1))
    assert (stored_size(file), displayed_size(file)) == ((20, 12), (12, 20))


def test_an_image_of_another_size_than_annotated_is_reported(tmp_path: Path) -> None:
    gradient(20, 12).save(tmp_path / "s.png")
    with pytest.raises(UnusableSample, match="image is 20 x 12 pixels, its annotations are for 30 x 12"):
        read_image(tmp_path / "s.png", (30, 12))


def test_ids_come_from_palette_and_16_bit_masks_unchanged(tmp_path: Path) -> None:
    ids = np.array([[0, 1], [2, 7]], dtype=np.uint8)
    palette = Image.fromarray(ids).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0] * 8)
    palette.putdata(ids.reshape(-1).tolist())
    palette.save(tmp_path / "p.png")
    Image.fromarray(ids.astype(np.uint16) * 1000).save(tmp_path / "w.png")
    assert read_ids(tmp_path / "p.png").tolist() == ids.tolist()
    assert read_ids(tmp_path / "w.png").tolist() == (ids.astype(int) * 1000).tolist()


def test_a_mask_of_colours_is_reported(tmp_path: Path) -> None:
    gradient(4, 4).save(tmp_path / "m.png")
    with pytest.raises(UnusableSample, match="not one channel"):
        read_ids(tmp_path / "m.png")


def test_a_pipe_in_place_of_a_file_is_reported_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "x.png"
    os.mkfifo(pipe)
    for read in (read_image, read_ids, stored_size, displayed_size):
        with pytest.raises(UnusableSample, match="it is no regular file"):
            read(pipe)
