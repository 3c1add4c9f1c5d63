"""Validation pictures: they are read back unchanged, old ones are deleted, and disk errors end nothing."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.config.files.yaml_text import dump_config
from engine.errors import UserError
from engine.journal.reader import JournalReader
from engine.outputs.inspection.preview_writer import KEPT_VALIDATIONS, PreviewWriter, write_previews
from engine.outputs.inspection.strip_file import read_strip, remembered_in, strip_steps
from engine.outputs.preview_file import Preview, preview_path, preview_steps, read_previews, sample_ious
from engine.runtime.commands.command_processor import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.tasks.person.previews import region_preview
from tests.small import small_config


def picture(name: str = "a", *, heads: bool = False) -> Preview:
    rng = np.random.default_rng(len(name))
    head = rng.integers(0, 256, (6, 8), dtype=np.uint8)
    return region_preview(
        name,
        rng.integers(0, 256, (12, 16, 3), dtype=np.uint8),
        rng.integers(0, 3, (6, 8), dtype=np.uint8),
        rng.integers(0, 3, (6, 8), dtype=np.uint8),
        contour_HW=head if heads else None,
        distance_HW=255 - head if heads else None,
    )


def assert_equal(one: Preview, other: Preview) -> None:
    assert one.sample_id == other.sample_id
    for mine, theirs in zip(one.planes, other.planes, strict=True):
        assert (mine.name, mine.kind) == (theirs.name, theirs.kind)
        np.testing.assert_array_equal(mine.values, theirs.values)
        assert theirs.values.dtype == np.uint8


@pytest.mark.parametrize("heads", [False, True])
def test_pictures_come_back_as_they_were(tmp_path: Path, heads: bool) -> None:
    sent = (picture("images/1.jpg#3", heads=heads), picture("\x1b[31mhostile\u202e", heads=heads))
    writer = PreviewWriter(tmp_path)
    writer.submit(7, sent)
    writer.close()
    assert preview_steps(tmp_path) == (7,)
    for mine, theirs in zip(sent, read_previews(tmp_path, 7), strict=True):
        assert_equal(mine, theirs)


def test_a_run_without_pictures_has_none(tmp_path: Path) -> None:
    assert preview_steps(tmp_path) == ()
    with pytest.raises(UserError, match=r"step-00000003\.npz"):
        read_previews(tmp_path, 3)


def test_the_newest_validations_are_kept(tmp_path: Path) -> None:
    for step in range(1, KEPT_VALIDATIONS + 4):
        write_previews(tmp_path, step, (picture(),))
    assert preview_steps(tmp_path) == tuple(range(4, KEPT_VALIDATIONS + 4))
    assert not list(tmp_path.rglob("*.partial"))


def test_going_back_forgets_what_lay_ahead(tmp_path: Path) -> None:
    writer = PreviewWriter(tmp_path)
    for step in (10, 20, 30):
        writer.submit(step, (picture(),))
    writer.forget_after(20)
    assert preview_steps(tmp_path) == (10, 20)


def test_a_disk_that_refuses_is_logged_and_no_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "previews").write_text("a file where the directory should be")
    writer = PreviewWriter(tmp_path)
    with caplog.at_level(logging.WARNING):
        writer.submit(5, (picture(),))
        writer.close()
    assert "the pictures of step 5 are lost" in caplog.text


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"\x93NUMPY"])
def test_a_damaged_file_is_the_readers_to_know(tmp_path: Path, content: bytes) -> None:
    path = preview_path(tmp_path, 1)
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read step-00000001\.npz"):
        read_previews(tmp_path, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"classes:truth": np.full((1, 6, 8), 3, np.uint8)},
        {"classes:truth": np.zeros((1, 6, 9), np.uint8)},
        {"rgb:image": np.zeros((1, 6, 8), np.uint8)},
        {"rgb:image": np.zeros((1, 6, 8, 3), np.float32)},
        {"what:image": np.zeros((1, 6, 8), np.uint8)},
        {"sample_id": np.array([object()], dtype=object)},
    ],
    ids=["class", "shape", "channels", "type", "kind", "pickle"],
)
def test_a_foreign_file_is_refused(tmp_path: Path, wrong: dict[str, np.ndarray]) -> None:
    write_previews(tmp_path, 1, (picture(),))
    with np.load(preview_path(tmp_path, 1)) as held:
        arrays = {**{name: held[name] for name in held.files}, **wrong}
    np.savez(preview_path(tmp_path, 1), **arrays)
    with pytest.raises(UserError, match="cannot read"):
        read_previews(tmp_path, 1, num_classes=3)


def test_a_file_from_before_planes_had_names_is_read(tmp_path: Path) -> None:
    sent = picture(heads=True)
    planes = {plane.name: plane.values[None] for plane in sent.planes}
    names = {"image": "image", "label": "truth", "predicted": "predicted", "contour": "outline", "distance": "distance"}
    preview_path(tmp_path, 1).parent.mkdir()
    stacks = {former: planes[name] for former, name in names.items()}
    np.savez(preview_path(tmp_path, 1), sample_id=np.array(["a"]), **stacks)
    (read,) = read_previews(tmp_path, 1, num_classes=3)
    for plane in sent.planes:
        found = read.plane(plane.name, plane.kind)
        assert found is not None
        np.testing.assert_array_equal(found, plane.values)


def test_iou_of_a_region_knows_absent_classes() -> None:
    label = np.array([[0, 0, 1, 1]], np.uint8)
    seen = np.array([[0, 1, 1, 1]], np.uint8)
    region = region_preview("a", np.zeros((1, 4, 3), np.uint8), label, seen)
    assert sample_ious(region, 3) == (pytest.approx(1 / 2), pytest.approx(2 / 3), None)


def test_a_run_leaves_pictures_of_each_validation_and_its_machines_load(tmp_path: Path) -> None:
    heads = {"contour_detection": True, "distance_transform": True}
    config = small_config(model={"refinements": {"boundary_refinement": True, **heads}}, training={"max_steps": 9})
    torch.manual_seed(0)
    assert "num_previews: 2" in dump_config(config)
    assert train(RunRequest(tmp_path, config, device="cpu"), Interrupt()) == 0
    reader = JournalReader(tmp_path)
    validated = reader.series(["val/miou"]).steps.tolist()
    names = set(reader.metric_names())
    reader.close()
    assert preview_steps(tmp_path) == tuple(validated)
    pictures = read_previews(tmp_path, validated[-1])
    assert [preview.planes[2].values.shape for preview in pictures] == [(16, 16, 3)] * 2
    assert all(preview.plane("outline", "scalar") is not None for preview in pictures)
    assert all(preview.plane("distance", "signed") is not None for preview in pictures)
    assert {"system/cpu", "system/memory"} <= names


def test_a_run_shows_its_worst_regions_and_remembers_them_with_their_errors(tmp_path: Path) -> None:
    few = {"num_train_scenes": 4, "num_val_scenes": 4, "image_size": 64, "max_people": 2}
    remembers = {"num_previews": 1, "num_worst": 1, "num_remembered": 2}
    config = small_config(data={"synthetic": few}, validation=remembers, training={"epochs": 3})
    assert train(RunRequest(tmp_path, config, device="cpu"), Interrupt()) == 0
    steps = preview_steps(tmp_path)
    assert strip_steps(tmp_path) == steps and len(steps) == 3
    for step in steps:
        pictures = read_previews(tmp_path, step)
        assert pictures[0].place == 0 and 1 in [preview.rank for preview in pictures]
        worst = next(preview for preview in pictures if preview.rank == 1)
        assert worst.error == max(preview.error for preview in pictures) <= 1
        strip = read_strip(tmp_path, step)
        assert [small.sample_id for small in strip] == [preview.sample_id for preview in pictures]
        assert next(small.worst_at for small in strip if small.sample_id == worst.sample_id) == step
        assert len(remembered_in(tmp_path).sample_ids) == 2
    shares = [plane.values.astype(int) for plane in pictures[0].planes if plane.name.startswith("p ")]
    assert len(shares) == 3 and np.abs(sum(shares) - 255).max() <= 2
