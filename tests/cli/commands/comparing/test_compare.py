"""`compare A B` in a pipe: text and JSON, and one sentence for what cannot be compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import main
from tests.panels.comparing.pairs import record_pair
from tests.recorded import damage_table


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_pair(tmp_path_factory.mktemp("runs"))[0].parent


def compare(runs_dir: Path, *words: str) -> int:
    return main.main(["compare", "--runs-dir", str(runs_dir), *words])


def test_the_text_has_values_curves_differences_and_interventions(
    runs_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {str(path): path.read_bytes() for path in runs_dir.rglob("*") if path.is_file()}
    assert compare(runs_dir, "base", "other_run", "--keys", "loss/total", "--x", "epoch") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["base: finished at step 120", "other_run: failed at step 60, branch of base at step 0"]
    assert lines[3].split() == ["loss/total", "last", "min", "max", "points"]
    assert [line.split()[0] for line in lines[4:6]] == ["base", "other_run"]
    assert "─ loss/total ─" in lines[6] and " epoch " in lines[6] and max(map(len, lines)) <= 80
    at = lines.index("configuration differences:")
    assert lines[at + 1 :][:3] == [
        "key                     base   other_run",
        "training.learning_rate  0.003  0.0003",
        "training.note           -      new",
    ]
    assert any("clamped: learning" in line for line in lines[lines.index("interventions:") :])
    assert {str(path): path.read_bytes() for path in runs_dir.rglob("*") if path.is_file()} == before


def test_json_has_all_of_it_for_programs(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(runs_dir, "base", "other_run", "--json", "--keys", "lr,val/loss", "--x", "samples") == 0
    found = json.loads(capsys.readouterr().out)
    assert [run["run"] for run in found["runs"]] == ["base", "other_run"]
    assert found["runs"][1]["parent"]["run"] == "base"
    assert [run["state"] for run in found["runs"]] == ["finished", "failed"], "the process of the second one left"
    assert found["x"] == "samples" and found["metrics"]["lr"]["base"]["x"][:2] == [4.0, 8.0]
    assert len(found["metrics"]["lr"]["other_run"]["values"]) == 60
    assert found["metrics"]["val/loss"]["other_run"]["step"] == [60]
    assert found["config"]["training.note"] == {"base": None, "other_run": "new"}
    assert found["interventions"]["other_run"][0]["status"] == "clamped"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["base"], "compare needs two runs or more"),
        (["base", "base"], "compare names the same run twice"),
        (["base", "othr_run"], "did you mean 'other_run'"),
        (["base", "other_run", "--keys", "los/total"], "no run has a metric 'los/total': did you mean 'loss/total'"),
        (["base", "other_run", "--keys", ","], "--keys names no metric"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(
    runs_dir: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert compare(runs_dir, *words) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_without_keys_the_usual_metrics_are_compared(runs_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(runs_dir, "base", "other_run", "--json") == 0
    assert list(json.loads(capsys.readouterr().out)["metrics"]) == [
        "loss/total",
        "val/loss",
        "val/miou",
        "grad_norm/total",
    ]


def test_a_run_whose_rows_are_damaged_is_refused(
    runs_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("base", "other_run"):
        shutil.copytree(runs_dir / name, tmp_path / name)
    damage_table(tmp_path / "base", "steps")
    assert compare(tmp_path, "base", "other_run", "--keys", "lr") == 2
    assert "base/run.sqlite: database disk image is malformed" in capsys.readouterr().err
