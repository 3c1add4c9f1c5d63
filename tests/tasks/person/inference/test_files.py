"""The files of a prediction: run lengths, PNG, and overlays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from engine.tasks.person.inference.overlay import ShownPerson, colour_of, draw_overlay, outline
from engine.tasks.person.inference.png_file import png_bytes, write_png
from engine.tasks.person.inference.run_lengths import encode_mask


@pytest.mark.parametrize("seed", range(6))
def test_run_lengths_of_a_window_are_those_of_the_whole_mask(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height = int(rng.integers(1, 12)), int(rng.integers(1, 12))
    column, row = int(rng.integers(0, width)), int(rng.integers(0, height))
    window_HW = rng.random((height - row, width - column)) < (0.0, 0.3, 0.6, 0.9, 1.0, 0.5)[seed]
    whole_HW = np.zeros((height, width), dtype=np.uint8)
    whole_HW[row:, column:] = window_HW
    packed = encode_mask(window_HW, column, row, (width, height))
    expected = cast(dict[str, Any], coco_mask.encode(np.asfortranarray(whole_HW)))
    assert packed == {"size": [height, width], "counts": expected["counts"].decode()}
    np.testing.assert_array_equal(coco_mask.decode(cast(Any, packed)), whole_HW)


def test_a_mask_down_to_the_last_row_goes_on_in_the_next_column() -> None:
    packed = encode_mask(np.ones((4, 3), dtype=np.bool_), 1, 0, (5, 4))
    assert coco_mask.decode(cast(Any, packed)).tolist() == [[0, 1, 1, 1, 0]] * 4
    assert encode_mask(np.zeros((0, 0), dtype=np.bool_), 2, 2, (5, 4))["size"] == [4, 5]


@pytest.mark.parametrize("shape", [(7, 5, 3), (1, 1, 3), (6, 9), (150, 151, 3)])
def test_png_files_have_the_pixels(shape: tuple[int, ...], tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(png_bytes(Image.fromarray(pixels)))) as opened:
        np.testing.assert_array_equal(np.asarray(opened), pixels)
    write_png(tmp_path / "a.png", Image.fromarray(pixels))
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_masks_are_packed() -> None:
    mask_HW = np.zeros((300, 400), dtype=np.uint8)
    mask_HW[50:250, 100:300] = 255
    assert len(png_bytes(Image.fromarray(mask_HW))) < mask_HW.size / 50


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").mkdir()
    with pytest.raises(OSError):
        write_png(tmp_path / "a.png", Image.new("L", (2, 2)))
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_an_overlay_tints_the_mask_outlines_it_and_leaves_the_rest() -> None:
    image = Image.new("RGB", (80, 60), (100, 100, 100))
    mask_HW = np.ones((20, 30), dtype=np.bool_)
    person = ShownPerson(2, (8.0, 25.0, 45.0, 50.0), 10, 28, mask_HW, 0.5)
    drawn = np.asarray(draw_overlay(image, [person]))
    assert tuple(drawn[28, 10]) == colour_of(2), "the outline"
    inside = drawn[38, 25].astype(int)
    assert (np.abs(inside - (0.58 * 100 + 0.42 * np.array(colour_of(2)))) <= 1).all()
    assert tuple(drawn[55, 70]) == (100, 100, 100) and tuple(drawn[25, 40]) == colour_of(2), "the box"
    assert (np.asarray(image) == 100).all(), "the image itself is not drawn on"


def test_a_tint_is_the_same_at_every_brightness_and_stays_inside_the_mask() -> None:
    greys_HW3 = np.arange(256, dtype=np.uint8).reshape(16, 16)[..., None].repeat(3, axis=2).repeat(3, axis=1)
    greys_HW3 = np.concatenate([greys_HW3, greys_HW3])
    mask_HW = np.zeros((14, 40), dtype=np.bool_)
    mask_HW[1:13, 3:38] = True
    mask_HW[5, 9] = False
    person = ShownPerson(1, (0.0, 0.0, 1.0, 1.0), 4, 17, mask_HW, 0.9)
    drawn = np.asarray(draw_overlay(Image.fromarray(greys_HW3), [person]))
    whole_HW = np.pad(mask_HW, ((17, 1), (4, 4)))
    expected = np.where(whole_HW[..., None], greys_HW3 * (1 - 0.42) + np.array(colour_of(1)) * 0.42, greys_HW3).astype(
        np.uint8
    )
    expected[outline(whole_HW, 1)] = colour_of(1)
    below_the_label = slice(16, None)
    np.testing.assert_array_equal(drawn[below_the_label], expected[below_the_label])


def test_the_outline_is_as_wide_as_asked_and_follows_holes() -> None:
    mask_HW = np.ones((9, 9), dtype=np.bool_)
    assert outline(mask_HW, 2).sum() == 81 - 25
    mask_HW[4, 4] = False
    assert outline(mask_HW, 1)[3, 4] and not outline(mask_HW, 1)[4, 4] and not outline(mask_HW, 1)[2, 2]


def test_a_label_stays_in_the_image() -> None:
    tiny = Image.new("RGB", (4, 3))
    person = ShownPerson(11, (0.0, 0.0, 4.0, 3.0), 0, 0, np.zeros((0, 0), dtype=np.bool_), 0.0)
    assert draw_overlay(tiny, [person]).size == (4, 3) and colour_of(11) == colour_of(1)
