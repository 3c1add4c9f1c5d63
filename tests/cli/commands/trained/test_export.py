"""`export` from the command line: its words, the default file, the lines and the JSON object it prints."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cockpit.cli.arguments import parse_arguments
from cockpit.cli.commands.trained.export import run_export
from engine.errors import UserError
from engine.outputs.inference.export_report import ExportReport, ExportRequest, Int8Report

INT8 = Int8Report(0.9931, 0.98, 64, 92, ("shared.0.0",), 2_000_000, 7.25, 4.9)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A directory with one run, which has a checkpoint."""
    run_dir = tmp_path / "runs" / "first"
    (run_dir / "checkpoints").mkdir(parents=True)
    (run_dir / "run.sqlite").write_bytes(b"journal")
    (run_dir / "checkpoints" / "best.pt").write_bytes(b"weights")
    return tmp_path / "runs"


def ask(*words: object, int8: Int8Report | None = None) -> list[ExportRequest]:
    """Run `export` without torch; return what it asked for."""
    asked: list[ExportRequest] = []

    def export(request: ExportRequest, say: Callable[[str], None]) -> ExportReport:
        asked.append(request)
        say("opening \x1b[31m")
        return ExportReport(
            file=str(request.output),
            num_bytes=700_000,
            format=request.format,
            run="first",
            checkpoint="best.pt",
            step=12,
            weights="averaged",
            components=("boundary_refinement",),
            difference=2.5e-6,
            bound=1e-4,
            checked_on="batches of 1, 3, 7 validation samples",
            int8=int8,
            versions={"torch": "2.13.0"},
        )

    assert run_export(parse_arguments(["export", *map(str, words)]), export) == 0
    return asked


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ([], "model.onnx"),
        (["--format", "onnx", "--int8"], "model-int8.onnx"),
        (["--format", "torchscript"], "model.pt"),
        (["--format", "safetensors"], "model.safetensors"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_file_is_by_default_in_the_runs_directory(words: list[str], name: str, runs: Path) -> None:
    (by_name,) = ask("first", *words, "--runs-dir", runs)
    (by_checkpoint,) = ask(runs / "first" / "checkpoints" / "best.pt", *words, "--runs-dir", runs)
    assert by_name.output == by_checkpoint.output == runs / "first" / name
    assert by_name.source == runs / "first" and by_checkpoint.source.name == "best.pt"
    assert by_name.int8 == ("--int8" in words) and by_name.weights is None and not by_name.force


def test_a_checkpoint_elsewhere_has_its_file_next_to_it(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "copied.pt").write_bytes(b"weights")
    (asked,) = ask(
        tmp_path / "copied.pt", "--format", "onnx", "--weights", "trained", "--force", "--data", str(tmp_path)
    )
    assert asked.output == tmp_path / "model.onnx" and asked.source == tmp_path / "copied.pt"
    assert asked.weights == "trained" and asked.force and asked.data == str(tmp_path)
    (asked,) = ask(tmp_path / "copied.pt", "--format", "onnx", "--output", "mine.onnx")
    assert asked.output == Path("mine.onnx")


def test_the_lines_name_the_file_the_network_and_the_largest_difference(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask("first", "--format", "onnx", "--int8", "--runs-dir", runs, int8=INT8)
    printed = capsys.readouterr()
    assert printed.err == "opening \\x1b[31m ...\n"
    assert printed.out.splitlines() == [
        f"{runs}/first/model-int8.onnx: onnx, 0.70 MB",
        "averaged weights of first best.pt after step 12, with boundary_refinement",
        "largest difference from the network 2.5e-06 (at most 0.0001 allowed, batches of 1, 3, 7 validation samples)",
        "8 bits: 99.31 % of the classes are the same (on 92 samples, at least 98 % required; calibrated on 64)",
        "8 bits: shared.0.0 stayed in float32, which they need",
        "8 bits: 35 % of 2.00 MB; 4.9 ms of one core a sample, 7.25 ms in float32",
    ]


def test_json_is_one_object_on_standard_output(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask("first", "--format", "onnx", "--json", "--runs-dir", runs, int8=INT8)
    found = json.loads(capsys.readouterr().out)
    assert found["file"] == f"{runs}/first/model.onnx" and found["num_bytes"] == 700_000 and found["format"] == "onnx"
    assert found["difference"] == 2.5e-6 and found["bound"] == 1e-4 and found["versions"] == {"torch": "2.13.0"}
    assert found["int8"]["agreement"] == 0.9931 and found["int8"]["kept_in_float"] == ["shared.0.0"]


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_before_the_work(missing: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(
        "cockpit.cli.servers.extras.find_spec", lambda name: None if name == missing else find(name) or object()
    )
    with pytest.raises(UserError, match=rf"needs the package {missing}: pip install 'training-cockpit\[export\]'"):
        ask("first", "--format", "onnx", "--runs-dir", runs)
    assert ask("first", "--format", "torchscript", "--runs-dir", runs), "it needs no package"


def test_an_unknown_run_and_an_unknown_format_are_refused(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="frist"):
        ask("frist", "--format", "onnx", "--runs-dir", runs)
    with pytest.raises(SystemExit) as end:
        parse_arguments(["export", "first", "--format", "onxn"])
    assert end.value.code == 2 and "there are onnx, torchscript, safetensors" in capsys.readouterr().err
