"""`main.py data inspect` reports the content of a directory and its problems."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UserError
from engine.tasks.person.data.readers.reports.inspect import inspect_dataset
from engine.tasks.person.data.readers.reports.inspection_text import report_lines
from tests.tasks.person.data.builders import person, read_annotations, write_annotations, write_coco, write_mask_folders


def test_counts_shares_and_sizes_are_those_of_the_files(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    content = read_annotations(root, "train")
    content["annotations"] += [person(900, 1, (2, 2, 12, 45)), person(901, 1, (0, 0, 60, 50), iscrowd=1)]
    write_annotations(root, "train", content)
    report = inspect_dataset(root)
    train, val = report.splits
    assert (train.num_images, train.num_images_with_people, train.num_images_read) == (3, 3, 3)
    assert (train.num_people, train.num_rois, train.num_small, train.num_crowds) == (7, 6, 1, 1)
    assert train.width_percentiles == (25,) * 5 and train.height_percentiles == (40,) * 5
    assert sum(train.class_shares) == pytest.approx(1)
    assert train.class_shares[1] > 0.95
    assert (val.name, val.num_rois, val.problems) == ("val", 4, ())
    assert report.is_usable and report.verdict == "Verdict: a run can train on this."


def test_people_without_a_box_in_the_image_are_not_counted_as_too_small(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    content = read_annotations(root, "train")
    for annotation in content["annotations"]:
        annotation["bbox"] = [500, 500, 20, 20]
    write_annotations(root, "train", content)
    train = inspect_dataset(root).splits[0]
    assert (train.num_people, train.num_rois, train.num_small) == (6, 0, 0)
    assert "has a box outside the image" in train.problems[0].error


def test_every_problem_is_listed_by_file_name_and_damaged_images_are_found_by_decoding(tmp_path: Path) -> None:
    root = write_coco(tmp_path, num_train=4)
    (root / "images" / "1.png").unlink()
    (root / "images" / "2.png").write_bytes((root / "images" / "2.png").read_bytes()[:200])
    report = inspect_dataset(root)
    train = report.splits[0]
    assert [problem.file for problem in train.problems] == ["1.png", "2.png"]
    assert train.num_rois == 4
    lines = "\n".join(report_lines(report))
    assert "1.png: the image file is missing" in lines
    assert "2.png: the image cannot be decoded" in lines
    assert report.is_usable and "2 problems" in report.verdict


def test_many_problems_are_counted_and_the_first_are_shown(tmp_path: Path) -> None:
    root = write_coco(tmp_path, num_train=30)
    for number in range(1, 26):
        (root / "images" / f"{number}.png").unlink()
    lines = report_lines(inspect_dataset(root))
    assert "  problems 25" in lines
    assert sum("is missing" in line for line in lines) == 10
    assert "    and 15 more" in lines


def test_a_split_that_cannot_be_used_is_the_verdict(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    write_annotations(root, "val", {**read_annotations(root, "val"), "annotations": []})
    report = inspect_dataset(root)
    assert not report.is_usable
    assert report_lines(report)[-1] == "Verdict: a run cannot train on this: no usable person in val."


def test_only_so_many_images_are_decoded(tmp_path: Path) -> None:
    report = inspect_dataset(write_coco(tmp_path, num_train=9), max_read=3)
    assert report.splits[0].num_images_read == 3
    assert report.splits[0].num_rois == 18


def test_mask_folders_are_inspected_too(tmp_path: Path) -> None:
    report = inspect_dataset(write_mask_folders(tmp_path))
    assert report.layout == "mask folders"
    assert [split.num_rois for split in report.splits] == [8, 2]


def test_control_characters_in_file_names_are_written_out(tmp_path: Path) -> None:
    root = write_coco(tmp_path)
    content = read_annotations(root, "train")
    content["images"][0]["file_name"] = "\x1b[31mred\n.png"
    write_annotations(root, "train", content)
    lines = report_lines(inspect_dataset(root))
    assert any(line.startswith("    \\x1b[31mred\\n.png: the image file is missing") for line in lines)


def test_an_unknown_layout_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="an unknown layout"):
        inspect_dataset(tmp_path)
