"""ONNX files: they agree with the network, describe themselves, and the example of the manual predicts the same."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from engine.errors import UserError
from engine.outputs.inference.export_report import METADATA, ExportReport, ExportRequest
from engine.task import ExportPlan, Sample
from engine.tasks.person.config import PersonConfig
from engine.tasks.person.data.crop import crop_region
from engine.tasks.person.data.dataset import recipe_for, region_for
from engine.tasks.person.inference.paste import paste_region
from engine.training.inference.export.export import BOUND, export
from engine.training.inference.export.network import Exportable, exportable
from engine.training.inference.export.onnx_file import onnx_model
from engine.training.inference.export.quantize import quantize, share_weights, split_samples
from engine.training.inference.export.sensitivity import Range, harmed
from engine.training.inference.export.torchscript_file import TorchScriptSession, torchscript_content
from engine.training.inference.trained_model import TrainedModel, open_trained
from tests.conftest import ROOT
from tests.faulty import run
from tests.small import SECTIONS, small_config

onnx: Any = pytest.importorskip("onnx", reason="the extra `export` is not installed")
onnxruntime: Any = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")

pytestmark = pytest.mark.timeout(300)  # the exporter compiles for seconds, on a busy machine for minutes
CONFIG = small_config(
    model={**SECTIONS["model"], "roi_size": 32, "roi_width": 16, "mask_size": 48, "mask_width": 32},
    training={"max_steps": 4, "learning_rate": 1e-2},
    data={"roi_padding": 0.1, "keep_aspect": True},
)
"""Neither regions nor masks are square."""
EXAMPLE = ROOT / "cockpit" / "docs" / "examples" / "onnx_predict.py"


def silent(stage: str) -> None:
    """Ignore the progress."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps with boundary refinement."""
    directory = tmp_path_factory.mktemp("exported") / "first"
    assert run(directory, CONFIG) == 0
    return directory


@pytest.fixture(scope="module")
def request_of(trained: Path) -> ExportRequest:
    """The request of the run's ONNX file."""
    return ExportRequest(trained, trained / "model.onnx", "onnx", version="1.2.3")


@pytest.fixture(scope="module")
def report(request_of: ExportRequest) -> ExportReport:
    """The report on the file. The exporter takes seconds, so all tests share it."""
    return export(request_of, silent)


@pytest.fixture(scope="module")
def opened(trained: Path) -> TrainedModel:
    """The run's network."""
    return open_trained(trained, device="cpu")


class FewSamples:
    """Noise as samples."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(1)
        self.images = torch.rand(count, 3, 32, 16, generator=generator)

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, epoch: int, index: int) -> Sample:
        return Sample({"image_N3HW": self.images[index]}, str(index))


def described(report: ExportReport) -> dict[str, Any]:
    (entry,) = onnx.load(report.file).metadata_props
    assert entry.key == METADATA
    return json.loads(entry.value)


def test_the_file_agrees_with_the_network_for_any_number_of_regions(report: ExportReport, opened: TrainedModel) -> None:
    assert report.num_bytes == Path(report.file).stat().st_size and 0 <= report.difference <= report.bound == BOUND
    assert report.checked_on == "batches of 1, 3, 7 validation samples"
    session = onnxruntime.InferenceSession(report.file)
    (source,), (result,) = session.get_inputs(), session.get_outputs()
    assert (source.name, source.shape) == ("image", ["N", 3, 32, 16])
    assert (result.name, result.shape) == ("probabilities", ["N", 3, 48, 32])
    images_N3HW = torch.rand(5, 3, 32, 16)
    (probs_N3HW,) = session.run(None, {"image": images_N3HW.numpy()})
    with torch.no_grad():
        expected_N3HW = opened.model(images_N3HW, opened.components).log_probs_N3HW.exp().numpy()
    np.testing.assert_allclose(probs_N3HW, expected_N3HW, atol=1e-5)
    np.testing.assert_allclose(probs_N3HW.sum(1), 1, atol=1e-5)


def test_the_file_describes_its_run_its_preprocessing_and_its_outputs(report: ExportReport, trained: Path) -> None:
    about = described(report)
    assert about["schema"] == "training-cockpit/export/1" and about["task"] == "person" and not about["int8"]
    assert (about["run"], about["checkpoint"], about["weights"]) == ("first", "best.pt", "trained")
    assert about["step"] == report.step > 0
    assert about["components"] == ["boundary_aware_loss", "boundary_refinement"]
    assert set(about["scores"]) >= {"val/loss", "val/miou"}
    assert about["versions"]["training-cockpit"] == "1.2.3"
    assert set(about["versions"]) == {"training-cockpit", "torch", "onnx", "onnxscript", "onnxruntime"}
    assert about["inputs"] == [{"name": "image", "shape": ["N", 3, 32, 16], "dtype": "float32"}]
    assert about["outputs"] == [{"name": "probabilities", "shape": ["N", 3, 48, 32], "dtype": "float32"}]
    before, after = about["preprocessing"], about["postprocessing"]
    assert before["padding"] == 0.1 and before["keep_aspect"] and before["size"] == [32, 16]
    assert after["classes"] == ["background", "target", "other"] and after["mask_size"] == [48, 32]


def test_the_file_holds_no_path_of_this_machine_and_no_head_that_does_not_count(report: ExportReport) -> None:
    content = Path(report.file).read_bytes()
    assert str(ROOT).encode() not in content and b"site-packages" not in content
    held = {weight.name.split(".")[1] for weight in onnx.load(report.file).graph.initializer if "." in weight.name}
    assert "boundary_refinement" in held and not held & {"auxiliary", "contour_detection", "subpixel_conv"}


@pytest.mark.parametrize("box", [(20.0, 24.0, 30.5, 40.25), (-6.5, 30.0, 25.0, 60.0), (50.0, -3.0, 5.0, 2.0)], ids=str)
def test_the_example_of_the_manual_predicts_the_same_without_torch(
    report: ExportReport, opened: TrainedModel, box: Sequence[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels_HW3 = np.random.default_rng(0).integers(0, 256, (72, 64, 3), dtype=np.uint8)
    image = Image.fromarray(pixels_HW3).resize((96, 80), Image.Resampling.BICUBIC)
    image.save(tmp_path / "photo.png")
    with monkeypatch.context() as blocked:
        for name in ("torch", "engine", "cockpit"):
            blocked.setitem(sys.modules, name, None)
        example = runpy.run_path(str(EXAMPLE))
        predictor = example["MaskPredictor"](report.file)
        region = predictor.region(box)
        crop_HW3 = example["resample"](np.asarray(image), region, (16, 32))
        (probs_3HW,) = predictor.probabilities(image, [region])
        example["main"](report.file, tmp_path / "photo.png", ",".join(map(str, box)), tmp_path / "mask.png")
    config = opened.config
    assert isinstance(config, PersonConfig)
    edges = (box[0], box[1], box[0] + box[2], box[1] + box[3])
    own_region = region_for(edges, recipe_for(config.data, config.model, seed=0, training=False))
    assert region == own_region
    own_crop_3HW = crop_region(image, own_region, (32, 16))
    np.testing.assert_array_equal(crop_HW3.transpose(2, 0, 1).astype(np.float32) / 255, own_crop_3HW.numpy())
    with torch.no_grad():
        own_3HW = opened.model(own_crop_3HW[None], opened.components).log_probs_N3HW.exp()[0].numpy()
    np.testing.assert_allclose(probs_3HW, own_3HW, atol=BOUND)
    mask_HW = np.asarray(Image.open(tmp_path / "mask.png"))
    pasted_HW = paste_region(own_3HW, own_region, image.size).full_mask(image.size)
    assert mask_HW.shape == pasted_HW.shape == (80, 96) and set(np.unique(mask_HW)) <= {0, 255}
    assert ((mask_HW == 255) != pasted_HW).sum() <= 1, "a pixel may be on the edge of two classes"


class Odd(torch.nn.Module):
    """Networks that cannot be exported."""

    input_names = ("x",)

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        (x,) = inputs
        if self.kind == "branches":
            return x * 2 if x.sum() > 0 else x
        return torch.cat([x, torch.ones(4).expand(len(x), 4)], dim=1)


def odd(kind: str) -> Exportable:
    network: Any = Odd(kind).eval()
    return Exportable(network, ExportPlan({"x": torch.rand(2, 3)}, {}), {"y": torch.zeros(0)})


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("branches", "cannot be exported to ONNX: Could not guard on data-dependent"), ("len", "x has a fixed number")],
)
def test_a_network_that_onnx_cannot_hold_is_refused_with_the_reason(
    kind: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=reason):
        onnx_model(odd(kind))
    assert capfd.readouterr().out == ""


def test_a_trace_with_a_fixed_number_of_samples_is_refused() -> None:
    exported = odd("len")
    session = TorchScriptSession(torchscript_content(exported, "{}"), exported)
    assert session.run({"x": np.zeros((2, 3), np.float32)})["y"].shape == (2, 7)
    with pytest.raises(UserError, match=r"fails on 3 samples: it must count them by shape\[0\]"):
        session.run({"x": np.zeros((3, 3), np.float32)})


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 80


def test_a_file_that_differs_from_the_network_is_not_left(
    request_of: ExportRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: ExportReport
) -> None:
    from engine.training.inference.export import onnx_file

    def off(self: onnx_file.OnnxSession, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        return {"probabilities": np.full((len(inputs["image"]), 3, 48, 32), np.nan, dtype=np.float32)}

    monkeypatch.setattr(onnx_file, "onnx_model", lambda exported: onnx.load(report.file))
    monkeypatch.setattr(onnx_file.OnnxSession, "run", off)
    with pytest.raises(UserError, match=r"differs from the trained one by nan, more than the 0\.0001 allowed"):
        export(replace(request_of, output=tmp_path / "other.onnx"), silent)
    assert not [*tmp_path.iterdir()]


def test_convolutions_take_8_bits_and_the_agreement_is_measured(report: ExportReport, opened: TrainedModel) -> None:
    stages: list[str] = []
    model = onnx.load(report.file)
    content, int8 = quantize(model, '{"int8": true}', exportable(opened), FewSamples(12), stages.append)
    assert int8.agreement >= int8.bound == 0.98 and int8.num_calibrated == int8.num_compared == 6
    assert int8.float_ms > 0 < int8.int8_ms and int8.float_bytes == report.num_bytes
    small = onnx.load_model_from_string(content)
    assert [(entry.key, entry.value) for entry in small.metadata_props] == [(METADATA, '{"int8": true}')]
    assert sum(node.op_type == "QuantizeLinear" for node in small.graph.node) > 20


def test_a_network_that_8_bits_harm_is_not_written(
    report: ExportReport, opened: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import engine.training.inference.export.quantize as module

    monkeypatch.setattr(module, "_compare", lambda *_: module._Comparison(0.5, 1.0, 1.0))
    monkeypatch.setattr(module, "_quantized", lambda *_: b"")
    with pytest.raises(
        UserError, match=r"changes 50\.00 % of the classes, more than the 2 % allowed: no file is written"
    ):
        quantize(onnx.load(report.file), "", exportable(opened), FewSamples(4), silent)


def test_equal_tensors_are_kept_once() -> None:
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    values = {"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [1.0, 3.0]}
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Mul", ["x", "a"], ["one"]),
                helper.make_node("Mul", ["x", "b"], ["two"]),
                helper.make_node("Add", ["two", "c"], ["three"]),
                helper.make_node("Sum", ["one", "three"], ["y"]),
            ],
            "twice",
            [helper.make_tensor_value_info("x", number, [2])],
            [helper.make_tensor_value_info("y", number, [2])],
            [helper.make_tensor(name, number, [2], held) for name, held in values.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    share_weights(model)
    assert [tensor.name for tensor in model.graph.initializer] == ["a", "c"]
    (y_2,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": np.ones(2, np.float32)})
    np.testing.assert_array_equal(y_2, [3.0, 7.0])


class OneWideChannel(torch.nn.Module):
    """A convolution with one wide and two narrow outputs; a second convolution reads the narrow ones."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = torch.nn.Conv2d(3, 3, 1)
        self.narrow = torch.nn.Conv2d(2, 2, 1)
        self.wide.weight.data = torch.diag(torch.tensor([1.0, 1.0, 1e4]))[:, :, None, None]
        self.narrow.weight.data = torch.eye(2)[:, :, None, None]

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        with torch.no_grad():
            return {"scores": self.narrow(self.wide(torch.from_numpy(inputs["image"]))[:, :2]).numpy()}


def test_convolutions_whose_range_hides_small_values_stay_in_float() -> None:
    network: Any = OneWideChannel()
    exported = Exportable(network, ExportPlan({}, {}), {"scores": torch.zeros(0)})
    inputs = {"image": np.random.default_rng(0).random((4, 3, 8, 8), dtype=np.float32)}
    assert harmed(exported, [inputs], {"wide.weight", "narrow.weight"}) == ["wide.weight"]
    assert harmed(exported, [inputs], {"narrow.weight"}) == []


def test_a_range_keeps_zero_and_rounds_to_256_levels() -> None:
    held = Range()
    assert torch.equal(held.rounded(torch.zeros(3)), torch.zeros(3)), "an empty range changes nothing"
    held.widen(torch.tensor([1.0, 2.55]))
    assert (held.low, held.high) == (0.0, pytest.approx(2.55))
    torch.testing.assert_close(held.rounded(torch.tensor([0.004, 1.006])), torch.tensor([0.0, 1.01]))


@pytest.mark.parametrize(("count", "calibrated", "compared"), [(1, 1, 1), (2, 1, 1), (30, 15, 15), (500, 64, 128)])
def test_calibration_and_comparison_share_no_sample_but_the_only_one(
    count: int, calibrated: int, compared: int
) -> None:
    first, second = ([index for batch in batches for index in batch] for batches in split_samples(count))
    assert (len(first), len(second)) == (calibrated, compared)
    assert not set(first) & set(second) or count == 1
    assert set(first) | set(second) <= set(range(count))
