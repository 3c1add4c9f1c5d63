"""Safetensors and TorchScript files, `--init-from` a safetensors file, and exports that are refused."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.config.load import load_config
from engine.errors import UserError
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.outputs.inference.export_report import METADATA, ExportRequest
from engine.protocol.events import WeightsInherited
from engine.runtime.host.interrupt import Interrupt
from engine.runtime.start.bootstrap import RunRequest
from engine.runtime.train import train
from engine.tasks.person.task import PersonTask
from engine.training.checkpoint.file import BEST, read_checkpoint
from engine.training.inference.export import weights_file
from engine.training.inference.export.export import export, spread
from engine.training.inference.export.network import CHECKED, difference, exportable, samples_for
from engine.training.inference.export.torchscript_file import TorchScriptSession, torchscript_content
from engine.training.inference.trained_model import TrainedModel, open_trained
from tests.conftest import ROOT
from tests.faulty import entries, run
from tests.small import small_config

safetensors: Any = pytest.importorskip("safetensors.torch", reason="the extra `export` is not installed")

CONFIG = small_config(training={"max_steps": 2})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    directory = tmp_path_factory.mktemp("exported") / "first"
    assert run(directory, CONFIG) == 0
    return directory


@pytest.fixture(scope="module")
def weights(trained: Path) -> Path:
    """The run's weights as safetensors."""
    output = trained / "model.safetensors"
    report = export(ExportRequest(trained, output, "safetensors"), lambda stage: None)
    assert report.num_bytes == output.stat().st_size and report.difference == report.bound == 0.0
    return output


def averaged(trained: Path, tmp_path: Path) -> Path:
    """A checkpoint with averaged weights, which are half of the others."""
    payload = read_checkpoint(trained / CHECKPOINTS / BEST)
    payload["averaged_model"] = {name: value / 2 for name, value in payload["model"].items()}
    torch.save(payload, tmp_path / "averaged.pt")
    return tmp_path / "averaged.pt"


def test_safetensors_hold_the_checkpoints_weights_and_their_description(trained: Path, weights: Path) -> None:
    held = read_checkpoint(trained / CHECKPOINTS / BEST)["model"]
    found = safetensors.load_file(weights)
    assert set(found) == set(held) and all(torch.equal(found[name], value) for name, value in held.items())
    with safetensors.safe_open(weights, "pt") as file:
        about = json.loads(file.metadata()[METADATA])
    assert (about["run"], about["step"], about["weights"], about["task"]) == ("first", 2, "trained", "person")
    assert set(about["versions"]) == {"training-cockpit", "torch", "safetensors"} and "inputs" not in about


def test_averaged_weights_are_exported_unless_others_are_asked_for(trained: Path, tmp_path: Path) -> None:
    request = ExportRequest(averaged(trained, tmp_path), tmp_path / "average.safetensors", "safetensors")
    report = export(request, lambda stage: None)
    assert (report.weights, report.run, report.checkpoint) == ("averaged", "", "averaged.pt")
    held = read_checkpoint(trained / CHECKPOINTS / BEST)["model"]
    name, value = next(iter(held.items()))
    found, are_averaged = weights_file.read_weights(request.output)
    assert are_averaged and torch.equal(found[name], value / 2)
    report = export(replace(request, weights="trained", force=True), lambda stage: None)
    found, are_averaged = weights_file.read_weights(request.output)
    assert report.weights == "trained" and not are_averaged and torch.equal(found[name], value)


def test_a_run_begins_with_the_weights_of_a_safetensors_file_as_with_those_of_a_checkpoint(
    trained: Path, weights: Path, tmp_path: Path
) -> None:
    starts: list[dict[str, torch.Tensor]] = []
    for name, origin in (("a", weights), ("b", trained / CHECKPOINTS / BEST)):
        assert run(tmp_path / name, small_config(training={"max_steps": 1}), init_from=str(origin)) == 0
        (entry,) = entries(tmp_path / name, WeightsInherited)
        assert isinstance(entry.event, WeightsInherited)
        assert (
            not entry.event.averaged
            and entry.event.num_loaded == len(safetensors.load_file(weights))
            and not entry.event.missing
        )
        starts.append(read_checkpoint(tmp_path / name / CHECKPOINTS / "step-00000001.pt")["model"])
    assert all(torch.equal(value, starts[1][name]) for name, value in starts[0].items())


BAD: dict[str, Callable[[Path, dict[str, torch.Tensor]], object]] = {
    "cannot be read as safetensors": lambda path, held: path.write_bytes(b"\x10" * 200),
    "none of its tensors fits this network": lambda path, held: safetensors.save_file({"x": torch.ones(2)}, path),
    "holds no finite floating-point numbers": lambda path, held: safetensors.save_file(
        {name: value * torch.nan for name, value in held.items()}, path
    ),
    "holds 'x' in 8 bits": lambda path, held: safetensors.save_file({"x": torch.ones(2).to(torch.float8_e4m3fn)}, path),
}


@pytest.mark.parametrize("reason", BAD)
def test_useless_safetensors_are_the_users_mistake(reason: str, weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    BAD[reason](path, safetensors.load_file(weights))
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match=f"--init-from.*bad.safetensors.*{reason}"):
        train(RunRequest(tmp_path / "run", CONFIG, device="cpu", init_from=str(path)), Interrupt())


def test_without_the_package_one_sentence_says_how_to_install_it(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_file, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'training-cockpit\[export\]'"):
        weights_file.read_weights(weights)


def test_torchscript_equals_the_network_and_describes_itself(trained: Path) -> None:
    request = ExportRequest(trained / CHECKPOINTS / BEST, trained / "model.pt", "torchscript")
    report = export(request, lambda stage: None)
    assert report.difference <= report.bound == 1e-4 and report.run == "first" and report.checkpoint == BEST
    extra = {f"{METADATA}.json": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.jit.load(str(request.output), _extra_files=extra)
    about = json.loads(extra[f"{METADATA}.json"])
    assert about["preprocessing"]["colours"] == "RGB" and about["inputs"][0]["shape"] == ["N", 3, 16, 16]
    images = torch.rand(5, 3, 16, 16)
    opened = open_trained(trained, device="cpu")
    with torch.no_grad():
        expected = opened.model(images, opened.components).log_probs_N3HW.exp()
        torch.testing.assert_close(module(images), expected)


def test_every_option_of_the_network_is_in_a_trace_that_takes_any_number_of_regions() -> None:
    options = {"norm": "batch", "box_channel": True, "flip_average": True, "min_other_share": 0.06}
    config = small_config(model=options, data={"roi_padding": 0.25})
    model = PersonTask().build_model(config).eval()
    active = config.active_components()
    exported = exportable(TrainedModel(PersonTask(), config, model, Path("x.pt"), 0, "trained", active))
    session = TorchScriptSession(torchscript_content(exported, "{}"), exported)
    for count in CHECKED:
        inputs = exported.noise(count)
        assert difference(session.run(inputs), exported.network.run(inputs)) <= 1e-6
    plain = small_config(model={**options, "flip_average": False}, data={"roi_padding": 0.25})
    other = PersonTask().build_model(plain).eval()
    other.load_state_dict(model.state_dict())
    unaveraged = exportable(TrainedModel(PersonTask(), plain, other, Path("x.pt"), 0, "trained", active))
    assert difference(session.run(inputs), unaveraged.network.run(inputs)) > 1e-4, "the mirrored regions count"


def test_other_tasks_export_weights_and_networks_if_they_say_how(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the data of the digits")
    file = ROOT / "cockpit/docs/examples/digits.py"
    settings = ("training.max_steps=2", "training.batch_size=288", "tensorboard.enabled=false")
    config: Any = load_config("", (f"task={file}:Digits", *settings))
    assert run(tmp_path / "digits", config) == 0
    stages: list[str] = []
    report = export(ExportRequest(tmp_path / "digits", tmp_path / "digits.pt", "torchscript"), stages.append)
    assert report.difference <= 1e-4 and report.checked_on == "batches of 1, 3, 7 validation samples"
    assert "exporting to torchscript" in stages


def test_a_task_that_does_not_say_how_is_named_with_the_remedy(trained: Path) -> None:
    opened = open_trained(trained, device="cpu")

    class Mute:
        spec = opened.task.spec

    task: Any = Mute()
    with pytest.raises(UserError, match=r"'person' does not say what its network reads.*--format safetensors"):
        exportable(replace(opened, task=task))


def test_without_the_data_the_check_takes_random_numbers_unless_they_are_needed(trained: Path) -> None:
    opened = open_trained(trained, device="cpu")
    stages: list[str] = []
    gone = replace(opened, config=small_config(data={"path": "/nowhere"}))
    exported = exportable(opened)
    assert samples_for(gone, exported.plan, "", stages.append, must=False) is None
    assert stages[0].startswith("the check takes random numbers: ") and "/nowhere" in stages[0]
    with pytest.raises(UserError, match="/elsewhere"):
        samples_for(opened, exported.plan, "/elsewhere", stages.append, must=True)
    inputs = exported.noise(7)
    assert inputs["image"].shape == (7, 3, 16, 16)
    assert difference(exported.network.run(inputs), exported.network.run(inputs)) == 0.0


def test_samples_are_spread_and_repeat_if_there_are_few() -> None:
    assert spread(3, 30) == [0, 10, 20] and spread(7, 2) == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "torchscript", "int8": True}, "--int8 quantizes ONNX files only: .* instead of torchscript"),
        ({"format": "safetensors", "int8": True}, "--int8 quantizes ONNX files only: .* instead of safetensors"),
        ({"output": Path("nowhere/model.onnx")}, "there is no directory nowhere; choose"),
        ({"output": Path(".")}, "is a directory"),
        ({"source": Path("nothing.pt"), "output": Path("x.pt")}, "there is no checkpoint nothing.pt"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_exported_is_refused_before_the_work(
    change: dict[str, Any], reason: str, trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=reason):
        export(replace(ExportRequest(trained, tmp_path / "x.pt", "torchscript"), **change), lambda stage: None)
    assert not [*tmp_path.iterdir()]


def test_an_existing_file_is_replaced_with_force_only(trained: Path, weights: Path, tmp_path: Path) -> None:
    output = tmp_path / "kept.safetensors"
    output.write_text("precious")
    request = ExportRequest(trained, output, "safetensors")
    with pytest.raises(
        UserError, match=r"kept\.safetensors exists: choose another --output, or replace it with --force"
    ):
        export(request, lambda stage: None)
    assert output.read_text() == "precious"
    export(replace(request, force=True), lambda stage: None)
    assert output.read_bytes() == weights.read_bytes() and [*tmp_path.iterdir()] == [output]


def test_a_difference_that_is_no_number_counts_in_every_output() -> None:
    ones, odd = np.ones((2, 2), np.float32), np.array([[1, np.nan]], np.float32)
    for names in (("mask", "edge"), ("edge", "mask")):
        expected = {name: ones for name in names}
        assert np.isnan(difference({**expected, "edge": odd}, expected))
        assert difference(expected, expected) == 0.0
