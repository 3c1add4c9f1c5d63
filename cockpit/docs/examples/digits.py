"""Classify scikit-learn's handwritten digits; a second head that redraws the image can be switched on in training.

training-cockpit --task digits.py:Digits
"""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import TensorDataset, random_split

from engine.config.tree import RunConfig, TrainingConfig
from engine.protocol.task_spec import Component, Metric, Phase, TaskSpec, Term
from engine.task import ExportPlan, Splits, Tap, Tensors
from engine.training.data.from_dataset import from_dataset

Outputs = tuple[Tensor, Tensor | None]
"""The logits, and the redrawn image if that head is on."""


class Config(RunConfig, frozen=True):
    training: TrainingConfig = TrainingConfig(learning_rate=5e-3, batch_size=32, epochs=10)


class Net(nn.Module):
    """The network; its children are the parts that the cockpit monitors."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.classify = nn.Linear(width, 10)
        self.redraw = nn.Linear(width, 64)


class Digits:
    Config = Config
    spec = TaskSpec(
        name="digits",
        terms=(Term("cross_entropy"), Term("redraw_error", component="redraw", weight=0.5)),
        components=(Component("redraw", "redraw the image from its features"),),
        phases=(Phase("classify"), Phase("+ redraw", adds=("redraw",))),
        metrics=(Metric("accuracy", low=0, high=1),),
        score="accuracy",
        sample_noun="image",
    )

    def open_data(self, config: Config) -> Splits:
        digits, seed = load_digits(), config.training.seed
        pixels = torch.as_tensor(digits.data, dtype=torch.float32) / 16
        data = TensorDataset(pixels, torch.as_tensor(digits.target))
        train, val = random_split(data, [0.8, 0.2], generator=torch.Generator().manual_seed(0))
        return Splits(from_dataset(train, seed=seed, shuffle=True), from_dataset(val))

    def build_model(self, config: Config) -> Net:
        return Net()

    def forward(self, model: Net, batch: Tensors, active: frozenset[str], tap: Tap) -> Outputs:
        features = model.body(batch["input"])
        redrawn = model.redraw(tap("redraw", features)) if "redraw" in active else None
        return model.classify(features), redrawn

    def losses(
        self, outputs: Outputs, batch: Tensors, terms: tuple[str, ...], config: Config, tap: Tap
    ) -> dict[str, Tensor]:
        logits, redrawn = outputs
        losses = {"cross_entropy": F.cross_entropy(logits.float(), batch["target"])}
        if "redraw_error" in terms:
            losses["redraw_error"] = F.mse_loss(redrawn.float(), batch["input"])
        return losses

    def score(self, outputs: Outputs, batch: Tensors, config: Config) -> Tensors:
        return {"right": (outputs[0].argmax(1) == batch["target"]).sum()}

    def metrics(self, sums: Tensors, count: int) -> dict[str, float]:
        return {"accuracy": float(sums["right"]) / count}

    def export_plan(self, config: Config) -> ExportPlan:
        return ExportPlan({"input": torch.rand(2, 64)}, {"classes": [*"0123456789"]})

    def export_outputs(self, outputs: Outputs) -> Tensors:
        return {"probabilities": outputs[0].softmax(1)}
