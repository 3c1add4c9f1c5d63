"""`data inspect` and `data statistics` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cockpit.cli.arguments import parse_arguments
from cockpit.cli.dispatch import run_subcommand
from engine.errors import UserError
from tests.tasks.person.data.builders import read_annotations, write_annotations, write_coco


def inspect(folder: Path) -> int:
    return run_subcommand(parse_arguments(["data", "inspect", str(folder)]))


def test_a_data_set_is_described_with_its_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inspect(write_coco(tmp_path)) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(str(tmp_path))
    assert printed.endswith("Verdict: a run can train on this.\n")


def test_a_data_set_without_people_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_coco(tmp_path)
    write_annotations(root, "val", {**read_annotations(root, "val"), "annotations": []})
    assert inspect(root) == 1
    assert "Verdict" in capsys.readouterr().out


def test_a_folder_without_a_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        inspect(tmp_path / "nowhere")


def test_pictures_are_written_where_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = write_coco(tmp_path / "data"), tmp_path / "out"
    assert run_subcommand(parse_arguments(["data", "inspect", str(root), "--pictures", str(out)])) == 0
    assert f"pictures: {out / 'regions-train.png'}, {out / 'regions-val.png'}" in capsys.readouterr().out
    assert (out / "regions-train.png").is_file()


@pytest.mark.parametrize("action", ["inspect", "statistics"])
def test_a_task_without_the_ability_says_so_in_one_sentence(tmp_path: Path, action: str) -> None:
    file = tmp_path / "blind_task.py"
    members = "".join(f"    {name} = None\n" for name in ("open_data", "build_model", "forward", "losses"))
    imports = "from engine.config.tree import RunConfig\nfrom engine.protocol.task_spec import Metric, TaskSpec, Term\n"
    config = "class BlindConfig(RunConfig):\n    pass\n"
    scored = "terms=(Term('error'),), metrics=(Metric('closeness'),), score='closeness'"
    spec = f"    spec = TaskSpec(name='blind', {scored})\n    Config = BlindConfig\n    score = metrics = None\n"
    file.write_text(f"{imports}\n\n{config}\n\nclass Blind:\n{members}{spec}")
    with pytest.raises(UserError, match=f"the task 'blind' has no `{action}`"):
        run_subcommand(parse_arguments(["data", action, str(tmp_path), "--task", f"{file}:Blind"]))


def test_statistics_are_lines_or_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_coco(tmp_path)
    assert run_subcommand(parse_arguments(["data", "statistics", str(root)])) == 0
    printed = capsys.readouterr().out
    assert "shares in the regions   background 0.000, target 1.000" in printed
    assert printed.endswith("no pixel in the regions of the train split is background or other\n")
    assert run_subcommand(parse_arguments(["data", "statistics", str(root), "--json"])) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["splits"]["train"]["num_regions"] == 6 and report["class_weights"] is None
