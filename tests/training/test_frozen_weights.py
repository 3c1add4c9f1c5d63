"""A frozen parameter may hold anything, such as a mask of infinities: it is no sign of a fault."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import nn

from engine.config.load import load_config
from engine.config.sections import TrainingConfig
from engine.journal.disk.run_dir import CHECKPOINTS
from engine.protocol import events as e
from engine.training.averaging import AVERAGED, WeightAverage
from engine.training.checkpoint.file import list_checkpoints, load_checkpoint
from engine.training.inference.trained_model import open_trained
from tests.faulty import entries, run
from tests.tasks.odd_tasks import Net, Right


class MaskedLayer(nn.Linear):
    def __init__(self) -> None:
        super().__init__(2, 3)
        self.mask = nn.Parameter(torch.tensor([0.0, 0.0, -math.inf]), requires_grad=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input) + self.mask.clamp(min=-1e4)


class MaskedNet(Net):
    def __init__(self) -> None:
        super().__init__()
        self.body = MaskedLayer()


class Masked(Right):
    def build_model(self, config):
        return MaskedNet()


def test_a_run_with_a_frozen_mask_ends_well_and_its_network_can_be_used(tmp_path: Path) -> None:
    """It was called diverged at its end, and no checkpoint of it was good."""
    settings = ("training.max_steps=2", "training.averaging=ema", "tensorboard.enabled=false")
    config = load_config("", (f"task={__name__}:Masked", *settings))
    assert run(tmp_path / "run", config) == 0
    path = list_checkpoints(tmp_path / "run" / CHECKPOINTS)[-1]
    newest = load_checkpoint(path)
    assert newest["good"] and newest[AVERAGED]["body.mask"][2] == -math.inf
    assert [entry.event.reason for entry in entries(tmp_path / "run", e.RunFinished)] == ["complete"]
    assert open_trained(tmp_path / "run").model.body.mask[2] == -math.inf
    assert run(tmp_path / "next", config, init_from=str(path)) == 0


def test_an_average_leaves_frozen_weights_alone() -> None:
    model = nn.Sequential(MaskedLayer())
    average = WeightAverage(model, TrainingConfig(averaging="swa"))
    for _ in range(3):
        average.update(torch.tensor(True))
    with average.in_use():
        assert model[0].mask[2] == -math.inf
    assert average.is_finite()
