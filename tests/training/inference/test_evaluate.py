"""Evaluations of trained networks: the numbers of the training's own validation, by size, by region, and as files."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine.config.load import load_config
from engine.errors import UserError
from engine.outputs.inference.evaluation import EvaluationReport, EvaluationRequest
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.data.sources import open_splits
from engine.tasks.person.inference.evaluation.examiner import RegionExaminer
from engine.tasks.person.model.network import Outputs
from engine.training.inference.evaluate import evaluate, no_progress
from main import main
from tests.faulty import run, series
from tests.small import small_config
from tests.tasks.person.data.builders import read_annotations, write_annotations, write_coco

METRICS = ("miou", "miou_seed", "target_iou", "iou_background", "iou_target", "boundary_f")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps on people with context around their boxes; its data are next to it."""
    home = tmp_path_factory.mktemp("evaluated")
    data = {"path": str(write_coco(home / "data")), "roi_padding": 0.25}
    assert run(home / "run", small_config(training={"max_steps": 2}, data=data)) == 0
    return home / "run"


def measured(run_dir: Path, **more: Any) -> EvaluationReport:
    return evaluate(replace(EvaluationRequest(run_dir, device="cpu"), **more))


def one_split(root: Path) -> Path:
    """The data of `write_coco` in one file, of five images."""
    write_coco(root)
    both = [read_annotations(root, split) for split in ("train", "val")]
    for split in ("train", "val"):
        (root / f"instances_{split}.json").unlink()
    merged = {**both[0], **{key: both[0][key] + both[1][key] for key in ("images", "annotations")}}
    (root / "labels.json").write_text(json.dumps(merged))
    return root


def test_the_numbers_of_the_validation_come_again_to_the_bit(trained: Path) -> None:
    report = measured(trained)
    assert (report.split, report.num_samples, report.step, report.score) == ("val", 4, 2, "miou")
    journalled = {name: series(trained, f"val/{name}")[2] for name in METRICS}
    assert {name: pytest.approx(report.metrics[name], abs=1e-7) for name in METRICS} == journalled
    assert report.loss == pytest.approx(series(trained, "val/loss")[2], abs=1e-6)
    examined = report.examination
    assert examined is not None
    assert {name: examined.groups[0].numbers[name] for name in METRICS} == {
        name: report.metrics[name] for name in METRICS
    }


def test_regions_are_counted_by_size_and_compared_with_two_answers(trained: Path) -> None:
    examined = measured(trained, split="train").examination
    assert examined is not None and not examined.problems
    assert [(group.name, group.count) for group in examined.groups] == [
        ("all", 6), ("small", 6), ("medium", 0), ("large", 0),
    ]  # fmt: skip
    assert set(examined.groups[1].numbers) == set(examined.groups[0].numbers)
    constant, labels = examined.references
    assert constant.numbers["iou_background"] == 0.0 < constant.numbers["target_iou"] < 1.0
    assert constant.numbers["ap"] == pytest.approx(1.0), "these people fill their boxes"
    assert labels.numbers["ap50"] == pytest.approx(1.0) and 0.5 < labels.numbers["ap"] < 1.0
    assert len(examined.rows) == 6 and len(examined.files) == 3
    row = examined.rows[0]
    assert (row["image"], row["person"], row["size"], row["area"]) == ("1.png", "10", "small", 1000)
    assert [row[key] for key in ("x", "y", "width", "height")] == [5, 5, 25, 40]
    by_region = [value for one in examined.rows if isinstance(value := one["target_iou"], float)]
    assert sum(by_region) / 6 == pytest.approx(examined.groups[0].numbers["target_iou"])
    assert examined.files[0]["regions"] == 2
    assert examined.files[0]["target_iou"] == pytest.approx(sum(by_region[:2]) / 2)


def test_the_true_classes_score_one_in_everything_but_the_precision_of_their_resolution(tmp_path: Path) -> None:
    write_coco(tmp_path / "data")
    config = PersonConfig.model_validate(
        {
            "data": {"path": str(tmp_path / "data"), "roi_padding": 0.5, "keep_aspect": True},
            "model": {"roi_width": 48, "mask_size": 128, "mask_width": 96},
        }
    )
    request = EvaluationRequest(tmp_path, pictures=tmp_path / "worst.png", num_worst=3)
    examiner = RegionExaminer(config, request, no_progress)
    for batch, _ in examiner.batches(3):
        label_N3HW = torch.nn.functional.one_hot(batch["label_NHW"], 3).permute(0, 3, 1, 2).float()
        examiner.add(Outputs((label_N3HW + 1e-9).log(), label_N3HW[:, :1]), batch)
    found = examiner.finish(no_progress)
    whole, labels = found.groups[0], found.references[1]
    assert {whole.numbers[name] for name in METRICS if name != "iou_background"} == {1.0}
    assert whole.numbers["ap"] == pytest.approx(labels.numbers["ap"]) and whole.numbers["ap50"] == pytest.approx(1.0)
    assert all(row["mask_iou"] > 0.8 for row in found.rows)  # type: ignore[operator]
    with Image.open(found.pictures[0]) as sheet:
        assert sheet.size[0] == 10 + 2 * (4 * 128 + 10), "two columns of four pictures"


def test_another_directory_with_one_split_is_evaluated_as_a_whole(trained: Path, tmp_path: Path) -> None:
    data = str(one_split(tmp_path / "other"))
    report = measured(trained, data=data)
    assert (report.split, report.num_samples, report.data) == ("all", 10, data)
    assert any("all of its images are evaluated" in note for note in report.notes)
    fifth = measured(trained, data=data, split="val")
    assert fifth.num_samples == 2 and any("held out" in note for note in fifth.notes)


def test_what_cannot_be_used_is_left_out_and_named_and_is_not_replaced(trained: Path, tmp_path: Path) -> None:
    root = write_coco(tmp_path / "broken", num_val=3)
    (root / "images" / "102.png").write_bytes(b"no picture")
    report = measured(trained, data=str(root))
    assert report.num_samples == 4 and report.examination is not None
    assert {row["image"] for row in report.examination.rows} == {"101.png", "103.png"}
    assert any("102.png" in problem for problem in report.examination.problems)
    for number in (101, 103):
        (root / "images" / f"{number}.png").unlink()
    with pytest.raises(UserError, match="no region of the val split can be used"):
        measured(trained, data=str(root))
    content = read_annotations(root, "val")
    write_annotations(root, "val", {**content, "annotations": []})
    with pytest.raises(UserError, match="has no person of at least 16 pixels"):
        measured(trained, data=str(root))


def test_people_held_out_of_the_training_are_no_part_of_the_val_split(tmp_path: Path) -> None:
    data = {"path": str(write_coco(tmp_path / "data", num_train=4)), "hold_out_share": 0.25}
    assert run(tmp_path / "run", small_config(training={"max_steps": 1}, data=data)) == 0
    report = measured(tmp_path / "run")
    assert report.num_samples == 4 and report.examination is not None
    assert {row["image"] for row in report.examination.rows} == {"101.png", "102.png"}
    assert any("chosen on 25 % of the training images" in note for note in report.notes)


def evaluated(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["eval", *words, "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "", "no progress outside of a terminal"
    return printed.out


def test_the_command_prints_a_table_and_writes_rows_and_pictures(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "made" / "numbers"
    words = [str(trained), "--output", str(output), "--worst", "2", "--csv", str(tmp_path / "rows.csv")]
    said = evaluated(words, capsys)
    head = next(line for line in said.splitlines() if "small" in line)
    assert head.split() == ["all", "small", "medium", "large", "all", "target", "labels"]
    assert "mIoU (the score)" in said and "mask AP50" in said and f"written: {output / 'worst.png'}" in said
    assert sorted(file.name for file in output.iterdir()) == [
        "evaluation.json", "images.csv", "regions.csv", "worst.png",
    ]  # fmt: skip
    assert (tmp_path / "rows.csv").read_text() == (output / "regions.csv").read_text()
    rows = list(csv.DictReader((output / "regions.csv").read_text().splitlines()))
    content = json.loads((output / "evaluation.json").read_text())
    assert len(rows) == len(content["regions"]) == content["samples"] == 4
    assert float(rows[0]["target_iou"]) == content["regions"][0]["target_iou"]
    assert [group["name"] for group in content["groups"]] == ["all", "small", "medium", "large"]
    printed = json.loads(evaluated([*words[:3], "--json"], capsys))  # its own files are replaced
    assert {**printed, "seconds": 0} == {**json.loads((output / "evaluation.json").read_text()), "seconds": 0}


def test_mistakes_are_one_sentence(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").touch()
    for words, said in (
        (["nothing"], "there is no run 'nothing'"),
        ([str(trained), "--data", str(tmp_path / "none")], "does not exist"),
        ([str(trained), "--output", str(tmp_path)], "has files that eval did not write"),
        ([str(trained), "--csv", str(tmp_path)], "is a directory"),
        ([str(tmp_path / "mine.txt")], "cannot be read as a checkpoint"),
        ([str(trained), "--weights", "averaged"], "no averaged weights"),
    ):
        assert main(["eval", *words, "--device", "cpu"]) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ") and said in told and told.count("\n") == 1


def test_any_task_has_its_metrics_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = load_config("", ["task=tests.tasks.odd_tasks:Right", "training.epochs=1"])
    assert run(tmp_path / "run", config) == 0  # type: ignore[arg-type]
    report = measured(tmp_path / "run")
    assert report.num_samples == 8 and report.examination is None
    journalled = series(tmp_path / "run", "val/closeness")[report.step]
    assert report.metrics["closeness"] == pytest.approx(journalled, rel=1e-6)
    assert measured(tmp_path / "run", split="all").num_samples == 16
    assert main(["eval", str(tmp_path / "run"), "--csv", str(tmp_path / "rows.csv"), "--device", "cpu"]) == 2
    assert "measures no single" in capsys.readouterr().err
    assert main(["eval", str(tmp_path / "run"), "--data", str(tmp_path / "none")]) == 2, "this task has data of its own"
    assert "none does not exist" in capsys.readouterr().err
    assert "closeness (the score)" in evaluated([str(tmp_path / "run"), "--output", str(tmp_path / "out")], capsys)
    for name in ("worst.png", "regions.csv"):  # of an earlier evaluation of people
        (tmp_path / "out" / name).touch()
    evaluated([str(tmp_path / "run"), "--output", str(tmp_path / "out")], capsys)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["evaluation.json"]


def test_masks_of_the_true_labels_of_real_people_reach_a_high_precision(coco_person: Path) -> None:
    config = load_config("tiny", [f"data.path={coco_person}", "data.roi_padding=0.25"])
    assert isinstance(config, PersonConfig)
    examiner = RegionExaminer(config, EvaluationRequest(coco_person), no_progress)
    assert len(examiner) == len(open_splits(config.data, config.model, 0).val) > 100
    batch, _ = next(examiner.batches(24))
    label_N3HW = torch.nn.functional.one_hot(batch["label_NHW"], 3).permute(0, 3, 1, 2).float()
    examiner.add(Outputs((label_N3HW + 1e-9).log(), label_N3HW[:, :1]), batch)
    found = examiner.finish(no_progress)
    assert {found.groups[0].numbers[name] for name in METRICS} == {1.0}
    assert found.groups[0].numbers["ap"] > 0.8
