"""What a task says wrongly about its export is one sentence, and no file is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.config.load import load_config
from engine.errors import UserError
from engine.outputs.inference.export_report import ExportReport, ExportRequest
from engine.task import ExportPlan
from engine.training.inference.export import export as exporting
from engine.training.inference.export.network import difference
from engine.training.inference.export.plan_check import check_outputs, check_plan, check_samples
from engine.training.inference.trained_model import open_trained
from tests.faulty import run
from tests.tasks import odd_tasks

PLAN = ExportPlan({"x": torch.rand(2, 2)}, {"about": "points"})


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (None, "returns a NoneType: return ExportPlan"),
        (ExportPlan({}, {}), "must return an input or more"),
        (ExportPlan({"x": [1.0]}, {}), "returns 'x' as a list, not a tensor"),  # type: ignore[dict-item]
        (ExportPlan({"x": torch.tensor(1.0)}, {}), "returns 'x' as a scalar"),
        (ExportPlan(PLAN.inputs, {}, {"y": "points"}), "gives another name to 'y', which is no input"),
        (ExportPlan({"x": PLAN.inputs["x"], "y": PLAN.inputs["x"]}, {}, {"y": "x"}), "two inputs the same name: x, x"),
        (ExportPlan(PLAN.inputs, {"names": {1, 2}}), "metadata that are no JSON: Object of type set"),
        (ExportPlan(PLAN.inputs, {"mean": math.nan}), "metadata that are no JSON"),
    ],
)
def test_a_plan_that_no_file_can_be_made_of(plan: Any, sentence: str) -> None:
    check_plan(PLAN)
    with pytest.raises(UserError, match=r"^export_plan\(\)") as caught:
        check_plan(plan)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        (torch.rand(2, 3), "must return an output or more, as tensors by name"),
        ({}, "must return an output or more"),
        ({"p": torch.rand(2, 3, dtype=torch.bfloat16)}, "returns 'p' in torch.bfloat16"),
        ({"p": torch.rand(3, 2)}, "returns 'p' with 3 entries for 2 samples"),
        ({"x": torch.rand(2, 3)}, "returns 'x', which is the name of an input"),
    ],
)
def test_outputs_that_no_file_can_hold(outputs: Any, sentence: str) -> None:
    check_outputs(PLAN, {"p": torch.rand(2, 3), "class": torch.tensor([True, False])})
    with pytest.raises(UserError, match=r"^export_outputs\(\)") as caught:
        check_outputs(PLAN, outputs)
    assert sentence in str(caught.value)


def test_samples_of_another_kind_than_the_example() -> None:
    check_samples(PLAN, {"x": torch.rand(1, 2), "y": torch.rand(1)})
    with pytest.raises(UserError, match="names the input 'x', and the samples have y"):
        check_samples(PLAN, {"y": torch.rand(1)})
    with pytest.raises(UserError, match=r"'x' as 2 of torch\.float32 a sample, and the samples have it as 3 of torch"):
        check_samples(PLAN, {"x": torch.rand(1, 3)})


def test_equal_infinities_do_not_differ_and_small_integers_do_not_wrap() -> None:
    expected: Mapping[str, Any] = {"p": np.array([[-math.inf, 2.0]], np.float32), "n": np.array([1], np.uint8)}
    assert difference(expected, expected) == 0
    assert difference({**expected, "p": np.array([[-math.inf, 1.0]], np.float32)}, expected) == 0.5
    assert difference({**expected, "n": np.array([0], np.uint8)}, expected) == 1
    assert difference({**expected, "p": np.array([[0.0, 2.0]], np.float32)}, expected) == math.inf
    assert math.isnan(difference({**expected, "p": np.array([[-math.inf, math.nan]], np.float32)}, expected))
    assert difference({"b": np.array([True])}, {"b": np.array([False])}) == 1


class Rectified(torch.autograd.Function):
    """A gradient of one's own."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


@pytest.fixture(scope="module")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a right task."""
    directory = tmp_path_factory.mktemp("planned") / "run"
    config = load_config("", (f"task={odd_tasks.__file__}:Right", "training.max_steps=1", "tensorboard.enabled=false"))
    assert run(directory, config) == 0  # type: ignore[arg-type]
    return directory


def exported(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **members: Any
) -> tuple[ExportReport, str]:
    """Export with these members of the task in place of those that are right; returns what was said, too."""
    said: list[str] = []
    trained = open_trained(trained_run, device="cpu")
    right: dict[str, Any] = {
        "export_plan": lambda config: PLAN,
        "export_outputs": lambda outputs: {"p": outputs[0]},
        **members,
    }
    for name, member in right.items():
        setattr(trained.task, name, member)
    monkeypatch.setattr(exporting, "open_trained", lambda *_, **__: trained)
    request = ExportRequest(trained_run, tmp_path / "model.pt", "torchscript")
    return exporting.export(request, said.append), "\n".join(said)


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"export_plan": lambda config: 1 / 0}, r"export_plan\(\) raises ZeroDivisionError: division by zero"),
        ({"export_outputs": lambda outputs: outputs["p"]}, r"forward\(\) or export_outputs\(\) raises TypeError"),
        ({"export_plan": lambda config: ExportPlan({"y": torch.rand(2, 2)}, {})}, "raises KeyError: 'x'"),
        ({"export_plan": lambda config: ExportPlan(PLAN.inputs, {"schema": 2})}, "the metadata 'schema', which each"),
        ({"export_outputs": lambda outputs: {"p": Rectified.apply(outputs[0])}}, "cannot be traced for TorchScript"),
    ],
)
def test_an_error_in_a_member_of_the_task_is_one_sentence(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UserError, match=sentence):
        exported(trained_run, tmp_path, monkeypatch, **members)
    assert not (tmp_path / "model.pt").exists()


def test_without_samples_of_the_example_s_kind_the_check_takes_random_numbers(
    trained_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(model: nn.Module, batch: Mapping[str, Tensor], *_: Any) -> tuple[Tensor]:
        return (batch["x"].sum(1, keepdim=True),)

    larger = ExportPlan({"x": torch.rand(2, 9)}, {})
    report, said = exported(trained_run, tmp_path, monkeypatch, forward=forward, export_plan=lambda config: larger)
    assert report.checked_on.endswith("random numbers") and "9 of torch.float32 a sample" in said
    (tmp_path / "model.pt").unlink()
    report, said = exported(trained_run, tmp_path, monkeypatch, open_data=lambda config: 1 / 0)
    assert report.checked_on.endswith("random numbers") and "open_data() raises ZeroDivisionError" in said
