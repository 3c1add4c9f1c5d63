"""Contact sheets show regions with their labels in colour, and never replace other files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine.errors import UserError
from engine.tasks.person.data.checks.contact_sheet import COLOURS, SIDE, TINT, tile_corner
from engine.tasks.person.data.readers.reports.inspect import inspect_dataset
from engine.tasks.person.data.readers.reports.inspection_text import report_lines
from tests.tasks.person.data.builders import gradient, person, read_annotations, write_annotations, write_coco

BACKGROUND, TARGET, OTHERS = range(3)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A target on the left half of its region, another on the right upper quarter, background on the right lower."""
    root = write_coco(tmp_path / "data", num_train=1)
    content = read_annotations(root, "train")
    left = [0, 10, 20, 10, 20, 50, 0, 50]
    content["annotations"] = [
        person(1, 1, (0, 10, 40, 50), segmentation=[left, [39, 49, 40, 49, 40, 50, 39, 50]]),
        person(2, 1, (20, 10, 40, 30)),
    ]
    write_annotations(root, "train", content)
    return root


def sheet(file: Path) -> NDArray[np.float64]:
    with Image.open(file) as opened:
        return np.asarray(opened.convert("RGB"), dtype=np.float64)


def tile(pixels: NDArray[np.float64], number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The plain region, and the one with labels."""
    left, top = tile_corner(number)
    both = pixels[top : top + SIDE, left : left + 2 * SIDE]
    return both[:, :SIDE], both[:, SIDE:]


def classes(plain: NDArray[np.float64], tinted: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which colour each pixel was tinted with."""
    grey = np.asarray(Image.fromarray(plain.astype(np.uint8)).convert("L"), dtype=np.float64)[..., None, None]
    candidates = (1 - TINT) * grey + TINT * np.array(COLOURS)
    return np.abs(candidates - tinted[..., None, :]).sum(axis=-1).argmin(axis=-1)


def test_background_target_and_others_are_tinted_where_they_are(root: Path, tmp_path: Path) -> None:
    report = inspect_dataset(root, pictures=tmp_path / "out")
    assert report.pictures == (tmp_path / "out" / "regions-train.png", tmp_path / "out" / "regions-val.png")
    plain, tinted = tile(sheet(report.pictures[0]), 0)
    found = classes(plain, tinted)
    half = SIDE // 2
    assert (found[2:-2, 2 : half - 2] == TARGET).mean() > 0.99
    assert (found[2 : half - 2, half + 2 : -2] == OTHERS).mean() > 0.99
    assert (found[half + 4 : -8, half + 4 : -8] == BACKGROUND).mean() > 0.99
    expected = np.asarray(gradient(60, 50, 1).crop((0, 10, 40, 50)).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    assert np.abs(plain[4:-4, 4:-4] - expected[4:-4, 4:-4]).mean() < 2


def test_each_region_has_its_place_and_its_name_below(root: Path, tmp_path: Path) -> None:
    report = inspect_dataset(root, pictures=tmp_path / "out")
    pixels = sheet(report.pictures[1])
    for number in range(4):
        plain, tinted = tile(pixels, number)
        assert plain.std() > 10 and tinted.std() > 10
        left, top = tile_corner(number)
        name = pixels[top + SIDE : top + SIDE + 18, left : left + 2 * SIDE]
        assert name.max() > 150 and name.min() < 30


def test_a_sheet_takes_the_place_of_an_older_sheet_alone(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = inspect_dataset(root, pictures=out).pictures
    assert inspect_dataset(root, pictures=out).pictures == first
    assert sorted(file.name for file in out.iterdir()) == ["regions-train.png", "regions-val.png"]
    gradient(9, 9).save(first[1])
    before = first[1].read_bytes(), first[0].stat().st_mtime_ns
    with pytest.raises(UserError, match=r"regions-val\.png was not written by this command"):
        inspect_dataset(root, pictures=out)
    assert (first[1].read_bytes(), first[0].stat().st_mtime_ns) == before


def test_links_are_not_followed(root: Path, tmp_path: Path) -> None:
    out, victim = tmp_path / "out", tmp_path / "victim.png"
    inspect_dataset(root, pictures=tmp_path / "first")
    victim.write_bytes((tmp_path / "first" / "regions-train.png").read_bytes())
    out.mkdir()
    (out / "regions-train.png").symlink_to(victim)
    with pytest.raises(UserError, match="was not written by this command"):
        inspect_dataset(root, pictures=out)


def test_a_place_that_cannot_be_written_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot be made"):
        inspect_dataset(root, pictures=tmp_path / "file")
    with pytest.raises(UserError, match="is in the data set"):
        inspect_dataset(root, pictures=root / "images")


def test_the_report_names_the_pictures_and_without_regions_there_are_none(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_annotations(root, "val", {**read_annotations(root, "val"), "annotations": []})
    lines = report_lines(inspect_dataset(root, pictures=out))
    assert f"pictures: {out / 'regions-train.png'}" in lines
    assert not (out / "regions-val.png").exists()


def test_names_of_any_letters_and_any_length_are_written(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "data", num_train=1)
    name = "長い名前の写真" * 8 + "\u202e.png"
    (root / "images" / "1.png").rename(root / "images" / name)
    content = read_annotations(root, "train")
    content["images"][0]["file_name"] = name
    write_annotations(root, "train", content)
    pixels = sheet(inspect_dataset(root, pictures=tmp_path / "out").pictures[0])
    left, top = tile_corner(0)
    assert pixels[top + SIDE : top + SIDE + 18, left : left + 2 * SIDE].max() > 150
