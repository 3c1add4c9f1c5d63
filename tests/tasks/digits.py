"""Classify scikit-learn's handwritten digits; a second head learns by how many quarter turns an image is rotated."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from engine.config.tree import NetworkConfig, RunConfig
from engine.protocol.task_spec import Component, Metric, Phase, TaskSpec, Term
from engine.task import Splits
from engine.training.data.from_dataset import from_dataset


class DigitsNetwork(NetworkConfig, frozen=True):
    width: int = 32
    """Channels of the first convolution."""


class DigitsConfig(RunConfig, frozen=True):
    model: DigitsNetwork = DigitsNetwork()


class Network(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.classify = nn.Linear(2 * width * 16, 10)
        self.rotation = nn.Linear(2 * width * 16, 4)


class DigitsTask:
    Config = DigitsConfig
    spec = TaskSpec(
        name="digits",
        terms=(Term("cross_entropy"), Term("turns", component="rotation", weight=0.3, clamped=True)),
        components=(Component("rotation", "learn the rotation of an image"),),
        phases=(Phase("base"), Phase("with rotation", adds=("rotation",))),
        metrics=(Metric("accuracy", "accuracy", 0, 1),),
        score="accuracy",
        sample_noun="image",
    )

    def open_data(self, config):
        digits = load_digits()
        pairs = zip(digits.images.astype("float32") / 16, digits.target, strict=True)
        items = [{"image": image[None], "label": label} for image, label in pairs]
        return Splits(from_dataset(items[:1500], seed=config.training.seed, shuffle=True), from_dataset(items[1500:]))

    def build_model(self, config):
        return Network(config.model.width)

    def forward(self, model, batch, active, tap):
        image = batch["image"]
        if "rotation" not in active:
            return {"digit": model.classify(model.body(image))}
        features = model.body(torch.cat([torch.rot90(image, turns, (2, 3)) for turns in range(4)]))
        return {"digit": model.classify(features[: len(image)]), "turns": model.rotation(tap("rotation", features))}

    def losses(self, outputs, batch, terms, config, tap):
        values = {"cross_entropy": cross_entropy(outputs["digit"].float(), batch["label"])}
        if "turns" in terms:
            turns = torch.arange(4, device=batch["label"].device).repeat_interleave(len(batch["label"]))
            values["turns"] = cross_entropy(outputs["turns"].float(), turns)
        return values

    def score(self, outputs, batch, config):
        return {"hits": (outputs["digit"].argmax(1) == batch["label"]).sum()}

    def metrics(self, sums, count):
        return {"accuracy": float(sums["hits"]) / count}
