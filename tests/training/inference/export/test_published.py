"""Every format with the published widths and every refinement, and with each refinement alone. The exporter is slow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.config.load import load_config
from engine.tasks.person.spec import EXCLUSIVE_REFINEMENTS, REFINEMENTS
from engine.tasks.person.task import PersonTask
from engine.training.inference.export.export import BOUND
from engine.training.inference.export.network import CHECKED, Exportable, difference, exportable
from engine.training.inference.trained_model import TrainedModel

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

FULL = "rgb_hierarchical_unet_v2_attention_r64m64_refined_full"
EVERYTHING = frozenset(REFINEMENTS) - {EXCLUSIVE_REFINEMENTS[0]}
CASES = {
    "full": (FULL, (), EVERYTHING),
    "small": ("small", ("model.box_channel=true",), EVERYTHING),
    **{name: ("tiny", (), frozenset({name})) for name in REFINEMENTS},
}
"""Configuration, settings and active refinements of each network."""


@pytest.fixture(scope="module", params=CASES)
def exported(request: pytest.FixtureRequest) -> Exportable:
    """A network with random weights; residuals that start at zero have some too."""
    name, settings, active = CASES[request.param]
    config: Any = load_config(name, settings)
    torch.manual_seed(0)
    model = PersonTask().build_model(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if not weight.any():
                weight.normal_(std=0.05)
    return exportable(TrainedModel(PersonTask(), config, model, Path(f"{request.param}.pt"), 0, "trained", active))


def largest(session: Any, exported: Exportable) -> float:
    """The largest difference over the batches of the check."""
    batches = [exported.noise(count) for count in CHECKED]
    return max(difference(session.run(inputs), exported.network.run(inputs)) for inputs in batches)


def test_onnx(exported: Exportable) -> None:
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    from engine.training.inference.export.onnx_file import OnnxSession, onnx_model

    content = onnx_model(exported).SerializeToString()
    found = largest(OnnxSession(content), exported)
    print(f"onnx: {found:.2g}, {len(content) / 1e6:.1f} MB")
    assert found <= BOUND


def test_torchscript(exported: Exportable) -> None:
    from engine.training.inference.export.torchscript_file import TorchScriptSession, torchscript_content

    content = torchscript_content(exported, "{}")
    found = largest(TorchScriptSession(content, exported), exported)
    print(f"torchscript: {found:.2g}, {len(content) / 1e6:.1f} MB")
    assert found <= BOUND


def test_safetensors(exported: Exportable) -> None:
    pytest.importorskip("safetensors", reason="the extra `export` is not installed")
    from engine.training.inference.export.weights_file import is_same, weights_content

    weights = exported.network.model.state_dict()
    content = weights_content(weights, "{}")
    print(f"safetensors: {len(content) / 1e6:.1f} MB")
    assert is_same(content, weights)
    altered = {name: value + 1 if name == "shared.0.0.bias" else value for name, value in weights.items()}
    assert not is_same(content, altered)
