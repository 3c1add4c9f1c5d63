"""From training to use: train, eval, predict, export, and the exported file gives the masks that predict gave."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.config.files.yaml_text import dump_config
from main import main
from tests.conftest import ROOT
from tests.small import small_config
from tests.tasks.person.data.builders import write_coco

EXAMPLE = ROOT / "cockpit" / "docs" / "examples" / "onnx_predict.py"
BOXES = ("5,5,25,40", "22,5,25,40")


def said(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """Run a command that prints JSON, and return what it printed."""
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.timeout(300)  # the exporter compiles for seconds, on a busy machine for minutes
def test_a_network_is_trained_evaluated_used_and_exported_by_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    data, runs = write_coco(tmp_path / "data"), tmp_path / "runs"
    config = small_config(data={"roi_padding": 0.25}, training={"epochs": 1}, checkpoint={"every_epochs": 1})
    (tmp_path / "small.yaml").write_text(dump_config(config))
    words = ["--config", tmp_path / "small.yaml", "--data", data, "--run", "first", "--device", "cpu"]
    assert main(["--no-ui", "--quiet", "--runs-dir", str(runs), *map(str, words)]) == 0
    capsys.readouterr()
    at = ("--runs-dir", runs)

    measured = said(capsys, "eval", "first", *at, "--device", "cpu", "--output", tmp_path / "numbers")
    recorded = said(capsys, "metrics", "first", *at, "--keys", "val/miou,val/target_iou")
    assert measured["step"] == recorded["step"][-1]
    for name in ("miou", "target_iou"):
        assert measured["metrics"][name] == pytest.approx(recorded[f"val/{name}"][-1], abs=1e-6)
    assert (tmp_path / "numbers" / "worst.png").is_file()

    photo = data / "images" / "101.png"
    boxes = [word for box in BOXES for word in ("--box", box)]
    predicted = tmp_path / "predicted"
    answer = said(capsys, "predict", "first", photo, *boxes, *at, "--masks", "--output", predicted, "--device", "cpu")
    assert answer["masks"] == 2 and answer["step"] == measured["step"]

    exported = said(capsys, "export", "first", "--format", "onnx", *at, "--output", tmp_path / "model.onnx")
    assert exported["step"] == measured["step"]
    spec = importlib.util.spec_from_file_location("walked_example", EXAMPLE)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    for box, ours in zip(BOXES, sorted((predicted / "masks").iterdir()), strict=True):
        example.main(str(tmp_path / "model.onnx"), str(photo), box, str(tmp_path / "mask.png"))
        same = np.asarray(Image.open(tmp_path / "mask.png")) == np.asarray(Image.open(ours))
        assert same.mean() > 0.999, "all pixels but those on the border of two classes"
