"""Small pictures of remembered samples: they are read back, thinned out, and decide which samples are remembered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.outputs.inspection.preview_writer import PreviewWriter
from engine.outputs.inspection.strip_file import (
    MAX_STRIPS,
    Remembered,
    Thumbnail,
    read_strip,
    remembered_in,
    strip_path,
    strip_steps,
    thumbnails_of,
    write_strip,
)
from engine.outputs.preview_file import PREDICTED, Plane, Preview


def preview(name: str, side: int = 64, error: float = 0.25) -> Preview:
    """A sample whose prediction is class 1 in the right half."""
    predicted = np.zeros((side, side), np.uint8)
    predicted[:, side // 2 :] = 1
    image = np.zeros((side, side, 3), np.uint8)
    return Preview(name, (Plane("image", "rgb", image), Plane(PREDICTED, "classes", predicted)), error, 1, 0)


def test_the_prediction_is_kept_at_32_pixels_with_its_error(tmp_path: Path) -> None:
    sent = thumbnails_of((preview("a"), preview("b", 16, 0.5)), {"a": 7})
    write_strip(tmp_path, 7, sent)
    first, second = read_strip(tmp_path, 7)
    assert (first.sample_id, first.error, first.worst_at, second.worst_at) == ("a", 0.25, 7, -2)
    assert first.plane.name == PREDICTED and first.plane.values.shape == second.plane.values.shape == (32, 32)
    np.testing.assert_array_equal(first.plane.values[0], np.repeat([0, 1], 16))
    assert not list(tmp_path.rglob("*.partial"))


def test_a_sample_without_a_prediction_has_its_first_plane_and_others_must_be_alike() -> None:
    image_only = Preview("c", preview("c").planes[:1])
    (small,) = thumbnails_of((image_only, preview("d")), {})
    assert (small.sample_id, small.plane.kind, small.plane.values.shape) == ("c", "rgb", (32, 32, 3))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short"])
def test_a_damaged_or_missing_strip_is_empty(tmp_path: Path, content: bytes) -> None:
    assert read_strip(tmp_path, 1) == () and strip_steps(tmp_path) == ()
    strip_path(tmp_path, 1).parent.mkdir()
    strip_path(tmp_path, 1).write_bytes(content)
    assert strip_steps(tmp_path) == (1,) and read_strip(tmp_path, 1) == ()
    assert remembered_in(tmp_path) == Remembered({})


def test_of_many_validations_every_second_is_thinned_out_but_for_the_first_and_the_newest(tmp_path: Path) -> None:
    small = thumbnails_of((preview("a", 4),), {})
    strip_path(tmp_path, 1).parent.mkdir()
    for step in range(1, MAX_STRIPS + 1):
        strip_path(tmp_path, step).touch()
    write_strip(tmp_path, MAX_STRIPS + 1, small)
    steps = strip_steps(tmp_path)
    assert len(steps) == MAX_STRIPS // 2 + 1
    assert (steps[0], steps[-1]) == (1, MAX_STRIPS + 1) and set(np.diff(steps)) == {2}


def test_those_once_among_the_worst_are_remembered_and_the_longest_ago_is_forgotten_first() -> None:
    first = Remembered({}).after(10, ["c"], ["a", "b", "c"], 3)
    assert first.worst_at == {"c": 10, "a": -1, "b": -1}
    second = first.after(20, ["d"], [], 3)
    assert second.worst_at == {"d": 20, "c": 10, "a": -1}
    assert second.after(30, ["c", "e"], [], 3).worst_at == {"c": 30, "e": 30, "d": 20}
    assert second.after(30, ["e"], [], 0).worst_at == {}


def test_what_is_remembered_survives_the_process_and_goes_back_with_the_run(tmp_path: Path) -> None:
    writer = PreviewWriter(tmp_path)
    for step, name in ((10, "a"), (20, "b")):
        shown = (preview(name), preview("fixed"))
        writer.submit(step, shown, thumbnails_of(shown, {name: step}))
    writer.close()
    assert remembered_in(tmp_path) == Remembered({"b": 20})
    writer.forget_after(10)
    assert strip_steps(tmp_path) == (10,) and remembered_in(tmp_path) == Remembered({"a": 10})


def test_pictures_of_different_kinds_do_not_end_the_writer(tmp_path: Path) -> None:
    writer = PreviewWriter(tmp_path)
    (small,) = thumbnails_of((preview("a"),), {})
    torn = Thumbnail("b", 0.0, -1, replace(small.plane, values=small.plane.values[:4]))
    writer.submit(10, (preview("a"),), (small, torn))
    writer.submit(20, (preview("a"),), (small,))
    writer.close()
    assert strip_steps(tmp_path) == (20,)
