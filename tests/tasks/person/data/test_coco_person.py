"""The data path on real photographs of people."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from engine.tasks.person.config import ModelConfig, PersonDataConfig
from engine.tasks.person.data.readers.index import index_dataset
from engine.tasks.person.data.readers.reports.inspect import inspect_dataset
from engine.tasks.person.data.sources import Splits, open_splits

REAL = Path(__file__).parents[5] / "shared" / "data" / "coco_person"

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="the real photographs are not here")


@pytest.fixture(scope="module")
def splits() -> Splits:
    return open_splits(PersonDataConfig(path=str(REAL)), ModelConfig(), 0)


@pytest.fixture(scope="module")
def reference() -> COCO:
    return COCO(str(REAL / "instances_val.json"))


def test_every_person_of_at_least_16_pixels_is_a_region(splits: Splits) -> None:
    assert (len(splits.train), len(splits.val)) == (432, 156)
    assert not splits.problems


def test_real_photographs_give_no_doubt(splits: Splits) -> None:
    assert splits.doubts == ()
    assert all(split.doubts == () for split in inspect_dataset(REAL).splits)


def test_the_classes_have_the_shares_that_seed_md_names() -> None:
    report = inspect_dataset(REAL, max_read=60)
    background, target, other = report.splits[0].class_shares
    assert background == pytest.approx(0.39, abs=0.04)
    assert target == pytest.approx(0.53, abs=0.04)
    assert other == pytest.approx(0.08, abs=0.04)
    assert report.is_usable and report.splits[0].num_crowds == 13


def test_masks_are_those_of_pycocotools(splits: Splits, reference: COCO) -> None:
    for index in range(0, len(splits.val), 12):
        sample = splits.val.sample(0, index)
        annotation = reference.anns[int(sample.sample_id.rpartition("#")[2])]
        left, top, width, height = annotation["bbox"]
        mask = torch.from_numpy(reference.annToMask(annotation)).float()
        centres = (torch.arange(64 * 8) + 0.5) / (64 * 8)
        columns = (left + centres * width).long().clamp(0, mask.shape[1] - 1)
        rows = (top + centres * height).long().clamp(0, mask.shape[0] - 1)
        covered = mask[rows][:, columns].reshape(64, 8, 64, 8).mean(dim=(1, 3))
        target = sample.tensors["label_NHW"] == 1
        clear = ((covered - 0.5).abs() > 0.1) & (sample.tensors["label_NHW"] != 2)
        assert ((covered > 0.5) == target)[clear].float().mean() > 0.99


def test_crops_show_the_person_and_not_a_corner(splits: Splits) -> None:
    """The picture in the crop matches the photograph's box, cut and resized in one go by other means."""
    from PIL import Image

    reference = COCO(str(REAL / "instances_val.json"))
    for index in range(0, len(splits.val), 40):
        sample = splits.val.sample(0, index)
        name, _, number = sample.sample_id.rpartition("#")
        left, top, width, height = reference.anns[int(number)]["bbox"]
        photograph = np.array(Image.open(REAL / "images" / name).convert("RGB"))
        pixels = torch.from_numpy(photograph).permute(2, 0, 1)[None].float() / 255
        per_bin = max(1, round(max(width, height) / 64))
        centres = (torch.arange(64 * per_bin) + 0.5) / (64 * per_bin)
        x = (left + centres * width) * 2 / photograph.shape[1] - 1
        y = (top + centres * height) * 2 / photograph.shape[0] - 1
        grid = torch.stack(torch.broadcast_tensors(x[None], y[:, None]), dim=-1)[None]
        fine = torch.nn.functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        expected = torch.nn.functional.avg_pool2d(fine, per_bin)[0]
        assert (sample.tensors["image_N3HW"] - expected).abs().mean() < 0.03


def test_regions_masks_and_their_order_are_those_of_ever() -> None:
    """Digests of before the reader took other tools' files: a run on these photographs is to stay the same run."""
    index = index_dataset(REAL)
    digests: list[str] = []
    for split in (index.train, index.val):
        facts = hashlib.sha256()
        for scene in split.scenes:
            people = [person.id for person in scene.people]  # type: ignore[attr-defined]
            facts.update(repr((scene.name, scene.size, scene.boxes, people)).encode())  # type: ignore[attr-defined]
        digests.append(facts.hexdigest()[:16])
    masks = hashlib.sha256()
    for scene in index.val.scenes:
        for person in scene.read().people:
            masks.update(repr((person.column, person.row, person.mask_HW.shape)).encode() + person.mask_HW.tobytes())
    assert [*digests, masks.hexdigest()[:16]] == ["a43d060e5364677d", "f12a60063f9b6572", "9394eb9b029c0a3d"]
