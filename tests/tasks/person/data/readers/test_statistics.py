"""The numbers of a data set: class shares, overlap, sizes, and the class weights that follow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config.load import load_config
from engine.errors import UserError
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.data.readers.coco.reader import CocoOptions
from engine.tasks.person.data.readers.reports.statistics import class_weights, measure_dataset
from engine.tasks.person.data.readers.reports.statistics_text import statistics_lines
from tests.tasks.person.data.builders import document, gradient, image_entry, person, write_annotations


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Train: two people of 20 x 40 pixels, one over the half of the other, and one of 40 x 40 that is its half.

    Val: one person of 10 x 10 pixels, too small to be a region.
    """
    (tmp_path / "images").mkdir()
    for name in ("1.png", "2.png", "3.png"):
        gradient(60, 50).save(tmp_path / "images" / name)
    half = person(3, 2, (10, 5, 50, 45), segmentation=[[10, 5, 30, 5, 30, 45, 10, 45]])
    people = [person(1, 1, (5, 5, 25, 45)), person(2, 1, (15, 5, 35, 45)), half]
    write_annotations(tmp_path, "train", document([image_entry(1, "1.png"), image_entry(2, "2.png")], people))
    write_annotations(tmp_path, "val", document([image_entry(3, "3.png")], [person(9, 3, (1, 1, 11, 11))]))
    return tmp_path


def test_shares_overlap_and_sizes_are_those_of_the_drawn_people(data: Path) -> None:
    report = measure_dataset(data, CocoOptions())
    train, val = report.splits["train"], report.splits["val"]
    assert (train.num_images, train.num_people, train.num_regions, train.most_people) == (2, 3, 3, 2)
    assert train.class_shares == pytest.approx((0.5 / 3, 2.5 / 3, 0)), "the target hides the other person"
    assert train.pixel_shares == pytest.approx((800 / 3200, 2400 / 3200, 0))
    assert train.people_per_region == pytest.approx(5 / 3) and train.share_near_others == pytest.approx(2 / 3)
    assert train.share_with_others == 0 and train.sizes == {"small": 3, "medium": 0, "large": 0}
    assert (val.num_people, val.num_regions, val.class_shares) == (1, 0, None)
    assert report.class_weights is None
    assert "no class weights follow" in statistics_lines(report)[-1]


def test_class_weights_are_the_inverse_shares_with_a_mean_of_one_and_can_be_pasted(data: Path, tmp_path: Path) -> None:
    people = [person(1, 1, (5, 5, 45, 45), segmentation=[[5, 5, 25, 5, 25, 45, 5, 45]])]
    people.append(person(2, 1, (25, 5, 35, 45)))
    write_annotations(data, "train", document([image_entry(1, "1.png")], people))
    report = measure_dataset(data, CocoOptions())
    assert report.splits["train"].class_shares == pytest.approx((0.25, 0.5, 0.25))
    assert report.class_weights == (1.2, 0.6, 1.2)
    snippet = statistics_lines(report)[-3:]
    (tmp_path / "pasted.yaml").write_text("\n".join(snippet))
    config = load_config(str(tmp_path / "pasted.yaml"))
    assert isinstance(config, PersonConfig) and config.loss.class_weights == (1.2, 0.6, 1.2)


def test_the_shares_of_coco_give_nearly_the_default_weights() -> None:
    weights = class_weights((0.486, 0.366, 0.148))
    assert weights == pytest.approx(PersonConfig().loss.class_weights, rel=0.06)
    assert class_weights(None) is None and class_weights((0.5, 0.5, 0.0)) is None


def test_as_many_images_as_allowed_are_read_and_a_broken_one_is_passed_over(data: Path) -> None:
    said: list[str] = []
    report = measure_dataset(data, CocoOptions(say=said.append), max_read=1)
    assert report.splits["train"].num_images_read == 1 and "train: 1 of 1 images" in said
    (data / "images" / "1.png").write_bytes(b"broken")
    train = measure_dataset(data, CocoOptions()).splits["train"]
    assert train.num_images_read == 1 and train.class_shares == pytest.approx((0.5, 0.5, 0))


def test_data_without_a_region_are_a_mistake(data: Path) -> None:
    content = json.loads((data / "instances_val.json").read_text())
    write_annotations(data, "train", content)
    with pytest.raises(UserError, match="has no person of at least 16 x 16 pixels to measure"):
        measure_dataset(data, CocoOptions())


def test_numbers_of_doubted_data_are_doubted(data: Path) -> None:
    gradient(60, 50).rotate(180).save(data / "images" / "3.png")
    assert not measure_dataset(data, CocoOptions()).doubts
    content = json.loads((data / "instances_train.json").read_text())
    for annotation in content["annotations"]:
        left, top, width, height = annotation["bbox"]
        annotation["bbox"] = [left, top, left + width, top + height]
    content["annotations"].append(person(8, 1, (1, 1, 9, 9), segmentation=[]))
    write_annotations(data, "train", content)
    report = measure_dataset(data, CocoOptions())
    assert report.num_problems == 1 and "boxes are [left, top, right, bottom]" in report.doubts[0]
    assert any(line.startswith("problems 1, doubts 1: see ") for line in statistics_lines(report))


def test_data_without_a_region_have_a_reason(data: Path) -> None:
    for split, image in (("train", "1.png"), ("val", "3.png")):
        crowd = person(1, 1, (5, 5, 25, 45), iscrowd=1)
        write_annotations(data, split, document([image_entry(1, image)], [crowd]))
    with pytest.raises(UserError, match=r"measure \(2 problems, the first in instances_train.json: all 1 person"):
        measure_dataset(data, CocoOptions())
