"""The text by which a resume sees that data have changed: what changes it, what does not, and its cost."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine.tasks.person.data.checks.fingerprint import NUM_READ, fingerprint
from engine.tasks.person.data.readers.coco.outlines import Outline
from engine.tasks.person.data.readers.coco.people import CocoPerson, CocoScene
from engine.tasks.person.data.readers.masks.mask_rule import MaskRule
from engine.tasks.person.data.readers.masks.split_reading import MaskScene
from engine.tasks.person.data.readers.scenes import Box

BOX = (2.0, 3.0, 30.0, 40.0)
TRIANGLE = np.array([2.0, 3.0, 30.0, 3.0, 30.0, 40.0])


def scene(file: Path, *, box: Box | None = BOX, outline: Outline | None = None, name: str = "a.bmp") -> CocoScene:
    return CocoScene(file, name, (60, 50), (CocoPerson("7", box, outline or Outline((TRIANGLE,)), box),))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A picture whose size in bytes says nothing of its content."""
    path = tmp_path / "a.bmp"
    Image.new("RGB", (60, 50), (9, 9, 9)).save(path)
    return path


def test_a_box_an_outline_in_its_box_a_name_and_the_order_change_it(file: Path) -> None:
    moved = TRIANGLE.copy()
    moved[2] = 20.0
    first, second = scene(file), scene(file, name="b.bmp")
    others = [
        (first, second),
        (second, first),
        (first, replace(second, name="c.bmp")),
        (first, scene(file, name="b.bmp", box=(2.0, 3.0, 30.0, 41.0))),
        (first, scene(file, name="b.bmp", box=None)),
        (first, scene(file, name="b.bmp", outline=Outline((moved,)))),
        (first, scene(file, name="b.bmp", outline=Outline((TRIANGLE, moved)))),
        (first, scene(file, name="b.bmp", outline=Outline(run_lengths=b"05"))),
        (first, scene(file, name="b.bmp", outline=Outline(run_lengths=b"06"))),
    ]
    assert len({fingerprint(scenes) for scenes in others}) == len(others)
    assert fingerprint((first, second)) == fingerprint((scene(file), scene(file, name="b.bmp")))


def test_a_copy_of_the_data_is_the_same_and_another_picture_or_mask_of_equal_size_is_not(file: Path) -> None:
    mask = file.with_name("mask.bmp")
    shutil.copyfile(file, mask)
    scenes = (scene(file), MaskScene("a", file, mask, (60, 50), (BOX,), MaskRule()))
    before = fingerprint(scenes)
    os.utime(file, (1, 1))
    copied = file.with_name("elsewhere.bmp")
    shutil.copyfile(file, copied)
    assert fingerprint((replace(scenes[0], file=copied), scenes[1])) == fingerprint(scenes) == before
    for changed in (file, mask):
        content = bytearray(changed.read_bytes())
        content[len(content) // 2] ^= 1
        changed.write_bytes(bytes(content))
        assert fingerprint(scenes) != before
        before = fingerprint(scenes)


def test_a_file_that_is_gone_or_a_pipe_is_not_waited_for(tmp_path: Path, file: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert fingerprint((scene(file), scene(tmp_path / "pipe"), scene(tmp_path / "gone")))


def test_few_of_many_files_are_read(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    real = Path.open
    monkeypatch.setattr(Path, "open", lambda path, *rest: opened.append(path) or real(path, *rest))
    fingerprint([scene(file)] * 5_000)
    assert 0 < len(opened) <= NUM_READ


def test_it_takes_little_time_for_many_people(tmp_path: Path) -> None:
    """A quarter of a second for 250,000, and here a twentieth of them."""
    crowd = scene(tmp_path / "gone", outline=Outline((np.arange(60.0),)))
    crowd = replace(crowd, people=crowd.people * 4)
    began = time.process_time()
    fingerprint([crowd] * 3_000)
    assert time.process_time() - began < 0.15
