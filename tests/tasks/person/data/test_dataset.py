"""Samples are pure functions of seed, epoch and index, and unusable files are replaced."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.errors import UserError
from engine.task import Sample
from engine.tasks.person.config import PersonDataConfig
from engine.tasks.person.data.dataset import RoiDataset, recipe_for
from engine.tasks.person.data.distance_target import signed_distance
from engine.tasks.person.data.readers.index import index_dataset
from tests.tasks.person.data.builders import (
    SMALL_MODEL,
    gradient,
    person,
    read_annotations,
    rectangle,
    write_annotations,
    write_coco,
)


def open_split(
    root: Path, *, training: bool = True, seed: int = 0, min_pixels: int = 16, **fields: object
) -> RoiDataset:
    config = PersonDataConfig.model_validate({"path": str(root), **fields})
    index = index_dataset(root)
    split = index.train if training else index.val
    return RoiDataset(
        split.scenes, recipe_for(config, SMALL_MODEL, seed=seed, training=training), min_pixels=min_pixels
    )


def same(one: Sample, other: Sample) -> bool:
    return one.sample_id == other.sample_id and all(
        torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors
    )


def add_people(root: Path, *people: dict[str, object]) -> None:
    content = read_annotations(root, "train")
    content["annotations"] += people
    write_annotations(root, "train", content)


def test_a_sample_has_the_promised_shapes_types_and_ranges(tmp_path: Path) -> None:
    tensors = open_split(write_coco(tmp_path)).sample(0, 0).tensors
    image_3HW, label_HW, distance_1HW = (tensors[name] for name in ("image_N3HW", "label_NHW", "distance_N1HW"))
    assert (image_3HW.shape, image_3HW.dtype) == ((3, 16, 16), torch.float32)
    assert (label_HW.shape, label_HW.dtype) == ((16, 16), torch.int64)
    assert (distance_1HW.shape, distance_1HW.dtype) == ((1, 16, 16), torch.float32)
    assert image_3HW.min() >= 0 and image_3HW.max() <= 1
    assert set(label_HW.unique().tolist()) <= {0, 1, 2} and 1 in label_HW
    assert np.array_equal(distance_1HW[0].numpy(), signed_distance(label_HW.numpy()))


@pytest.mark.parametrize(
    ("fields", "box"),
    [
        ({}, [0, 0, 1, 1]),
        ({"roi_padding": 0.25}, [1 / 6, 1 / 6, 5 / 6, 5 / 6]),
        ({"keep_aspect": True}, [7.5 / 40, 0, 32.5 / 40, 1]),
    ],
)
def test_a_sample_to_validate_with_holds_its_box_within_the_region(
    tmp_path: Path, fields: dict[str, object], box: list[float]
) -> None:
    root = write_coco(tmp_path)
    held = open_split(root, training=False, **fields).sample(0, 0).tensors["box_N4"]
    assert held.tolist() == pytest.approx(box) and held.dtype == torch.float32
    assert fields or held.tolist() == box, "exactly, so that the region's bins are the box's"
    assert "box_N4" not in open_split(root, **fields).sample(0, 0).tensors


def test_there_is_one_region_for_each_person_large_enough(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    add_people(root, person(900, 1, (2, 2, 12, 45)))
    assert len(open_split(root)) == 6
    assert len(open_split(root, min_pixels=10)) == 7
    assert len(open_split(root, min_pixels=30)) == 0


def test_people_too_small_to_be_targets_are_other_people_in_the_label(tmp_path: Path) -> None:
    root = write_coco(tmp_path, num_train=1)
    content = read_annotations(root, "train")
    slim = person(10, 1, (5, 5, 30, 45), segmentation=[rectangle(5, 5, 20, 45)])
    content["annotations"] = [slim, person(11, 1, (22.5, 5, 30, 25))]
    write_annotations(root, "train", content)
    dataset = open_split(root, roi_jitter=0.0, augment=0.0)
    assert len(dataset) == 1
    label = dataset.sample(0, 0).tensors["label_NHW"]
    assert (label[:8, 12:] == 2).all() and (label[8:, 12:] == 0).all() and (label[:, :9] == 1).all()


def test_equal_arguments_give_equal_bits_in_any_order_and_instance(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    one, other = open_split(root), open_split(root)
    forwards = {(epoch, index): one.sample(epoch, index) for epoch in (0, 1) for index in range(6)}
    backwards = {(epoch, index): other.sample(epoch, index) for epoch in (1, 0) for index in reversed(range(6))}
    assert all(same(forwards[place], backwards[place]) for place in forwards)


def test_every_person_comes_once_an_epoch_in_another_order_with_another_crop(tmp_path: Path) -> None:
    dataset = open_split(write_coco(tmp_path))
    first, second = ({(s := dataset.sample(epoch, i)).sample_id: s for i in range(6)} for epoch in (0, 1))
    assert len(first) == 6 and first.keys() == second.keys()
    assert list(first) != list(second)
    assert not any(same(first[name], second[name]) for name in first)


def test_another_seed_gives_another_order_and_crop(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    one, other = ([open_split(root, seed=seed).sample(0, i) for i in range(6)] for seed in (0, 1))
    assert not any(same(a, b) for a, b in zip(one, other, strict=True))


def test_validation_neither_shuffles_nor_jitters_nor_augments(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    dataset = open_split(root, training=False, roi_jitter=0.5, augment=1.0)
    samples = [dataset.sample(0, index) for index in range(4)]
    assert [sample.sample_id for sample in samples] == ["101.png#1010", "101.png#1011", "102.png#1020", "102.png#1021"]
    assert all(same(sample, dataset.sample(9, index)) for index, sample in enumerate(samples))
    box = gradient(60, 50, 101).crop((5, 5, 30, 45)).resize((16, 16), resample=2)
    inner = np.asarray(box)[1:-1, 1:-1].astype(float) / 255
    assert np.abs(samples[0].tensors["image_N3HW"].permute(1, 2, 0).numpy()[1:-1, 1:-1] - inner).max() < 0.02


def test_the_whole_person_is_in_the_crop(tmp_path: Path) -> None:
    dataset = open_split(write_coco(tmp_path), training=False)
    label = dataset.sample(0, 0).tensors["label_NHW"]
    assert (label == 1).all()
    padded = open_split(tmp_path, training=False, roi_padding=0.5).sample(0, 0).tensors["label_NHW"]
    assert (padded[4:12, 4:12] == 1).all()
    assert (padded == 1).float().mean() == pytest.approx(0.25)


def test_keeping_the_aspect_widens_the_region_instead_of_squashing_the_person(tmp_path: Path) -> None:
    dataset = open_split(write_coco(tmp_path), training=False, keep_aspect=True)
    label = dataset.sample(0, 0).tensors["label_NHW"]
    assert (label[:, 3:13] == 1).all()
    assert not (label[:, :2] == 1).any()
    assert (label[:, 14:] != 1).all()


def test_a_damaged_image_is_stood_in_for_by_the_next_usable_one_and_reported(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    whole = open_split(root)
    order = [whole.sample(0, index).sample_id for index in range(6)]
    (root / "images" / "2.png").write_bytes(b"broken")
    dataset = open_split(root)
    for index, name in enumerate(order):
        sample = dataset.sample(0, index)
        if not name.startswith("2.png"):
            assert sample.sample_id == name and not sample.rejections
            continue
        following = next(other for other in (*order[index:], *order) if not other.startswith("2.png"))
        assert sample.sample_id == following
        assert {rejection.file for rejection in sample.rejections} == {"2.png"}
        assert "cannot be decoded" in sample.rejections[0].error


def test_a_mask_without_pixels_or_beside_its_box_is_stood_in_for(tmp_path: Path) -> None:
    root = write_coco(tmp_path, num_train=1)
    content = read_annotations(root, "train")
    content["annotations"] = [
        person(1, 1, (5, 5, 30, 45)),
        person(2, 1, (5, 5, 30, 45), segmentation=[[10.1, 10.1, 10.2, 10.1, 10.2, 10.2]]),
        person(3, 1, (0, 0, 18, 18), segmentation=[[40, 30, 55, 30, 55, 45, 40, 45]]),
    ]
    write_annotations(root, "train", content)
    dataset = open_split(root, training=True)
    samples = [dataset.sample(0, index) for index in range(3)]
    assert {sample.sample_id for sample in samples} == {"1.png#1"}
    said = {rejection.error for sample in samples for rejection in sample.rejections}
    assert said == {"person 2 has no pixel in its mask", "person 3 has its mask outside its box"}


def test_a_split_whose_files_all_broke_is_a_users_error(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    for file in (root / "images").iterdir():
        file.write_bytes(b"")
    with pytest.raises(UserError, match=r"No person.*\.png: the image cannot be decoded"):
        open_split(root).sample(0, 0)


def test_a_one_pixel_image_has_no_target_and_does_no_harm(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    gradient(1, 1).save(root / "images" / "dot.png")
    content = read_annotations(root, "train")
    content["images"].append({"id": 7, "file_name": "dot.png", "width": 1, "height": 1})
    content["annotations"].append(person(70, 7, (0, 0, 1, 1)))
    write_annotations(root, "train", json.loads(json.dumps(content)))
    assert len(open_split(root)) == 6
    tiny = open_split(root, min_pixels=1)
    assert len(tiny) == 7
    assert any(tiny.sample(0, index).sample_id == "dot.png#70" for index in range(7))


EVERYTHING: dict[str, float] = {
    "rotation": 20.0,
    "scale": 0.1,
    "shift": 0.1,
    "background": 0.5,
    "copy_paste": 0.5,
    "gray": 0.3,
    "blur": 0.3,
    "erasing": 0.5,
}


def test_augmentations_give_equal_bits_in_every_process_and_order(tmp_path: Path) -> None:
    dataset = open_split(write_coco(tmp_path), augmentations=EVERYTHING, roi_padding=0.25)
    first = [dataset.sample(1, index) for index in range(len(dataset))]
    elsewhere: RoiDataset = pickle.loads(pickle.dumps(dataset))
    again = {index: elsewhere.sample(1, index) for index in reversed(range(len(dataset)))}
    assert all(same(sample, again[index]) for index, sample in enumerate(first))
    plain = open_split(tmp_path, roi_padding=0.25)
    assert sum(not same(sample, plain.sample(1, index)) for index, sample in enumerate(first)) == len(first)
    assert not same(first[0], dataset.sample(2, 0))


def test_erasing_leaves_jitter_light_and_labels_as_they_were(tmp_path: Path) -> None:
    plain = open_split(write_coco(tmp_path))
    erased = open_split(tmp_path, augmentations={"erasing": 1.0})
    for index in range(len(plain)):
        one, other = plain.sample(0, index).tensors, erased.sample(0, index).tensors
        assert torch.equal(one["label_NHW"], other["label_NHW"])
        assert not torch.equal(one["image_N3HW"], other["image_N3HW"])


def test_validation_is_never_augmented(tmp_path: Path) -> None:
    plain = open_split(write_coco(tmp_path), training=False)
    augmented = open_split(tmp_path, training=False, augmentations=EVERYTHING)
    assert all(same(plain.sample(0, index), augmented.sample(3, index)) for index in range(len(plain)))


def test_an_unreadable_picture_is_not_pasted(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    (root / "images" / "2.png").write_bytes(b"no image")
    dataset = open_split(root, augmentations={"copy_paste": 1.0, "background": 1.0})
    for index in range(len(dataset)):
        assert dataset.sample(0, index).tensors["label_NHW"].shape == (16, 16)
