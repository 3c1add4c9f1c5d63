"""The smallest task with a component, whose losses are means over the samples: ranks and one process agree on them."""

from __future__ import annotations

import math
import os
import signal
import time

import torch
from torch import nn

from engine.config.tree import RunConfig
from engine.protocol.task_spec import Component, Metric, Phase, TaskSpec, Term
from engine.task import DataGoneError, Splits
from engine.training.data.from_dataset import from_dataset

NUM_TRAIN, NUM_VAL, WIDTH = 22, 11, 6
BAD_ITEM = 5


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(WIDTH, 8), nn.Tanh(), nn.Linear(8, 3))
        self.extra = nn.Linear(3, 1)


class Tiny:
    Config = RunConfig
    spec = TaskSpec(
        name="tiny",
        terms=(Term("error"), Term("size", component="extra")),
        components=(Component("extra"),),
        phases=(Phase("base"), Phase("+ extra", adds=("extra",))),
        metrics=(Metric("closeness"),),
        score="closeness",
    )

    def open_data(self, config):
        generator = torch.Generator().manual_seed(1)
        items = [{"x": torch.randn(WIDTH, generator=generator), "y": number % 3} for number in range(NUM_TRAIN)]
        more = [{"x": torch.randn(WIDTH, generator=generator), "y": number % 3} for number in range(NUM_VAL)]
        return Splits(from_dataset(self.changed(items), shuffle=True), from_dataset(more))

    def changed(self, items):
        return items

    def build_model(self, config):
        return Net()

    def forward(self, model, batch, active, tap):
        features = model.body(batch["x"])
        return features, model.extra(tap("extra", features)) if "extra" in active else None

    def losses(self, outputs, batch, terms, config, tap):
        features, more = outputs
        found = {"error": nn.functional.cross_entropy(features, batch["y"])}
        return {**found, "size": (more - 1).square().mean()} if "size" in terms else found

    def score(self, outputs, batch, config):
        return {"sum": outputs[0].double().exp().sum()}

    def metrics(self, sums, count):
        return {"closeness": float(sums["sum"]) / count}


class OneBad(Tiny):
    """One training sample is not finite."""

    def changed(self, items):
        items[BAD_ITEM]["x"] = torch.full((WIDTH,), math.nan)
        return items


class Normed(Tiny):
    """The network has running statistics."""

    def build_model(self, config):
        net = Net()
        net.body = nn.Sequential(nn.Linear(WIDTH, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
        return net


class Unmounted(Tiny):
    """Rank 1 cannot reach its samples for a while."""

    def changed(self, items):
        return Outage(items)


class Outage(list):
    """Items that cannot be reached at the ninth and the tenth attempt."""

    count = 0

    def __getitem__(self, index):
        self.count += 1
        if os.environ.get("RANK") == "1" and self.count in (9, 10):
            raise DataGoneError("the disk of rank 1 is gone")
        return super().__getitem__(index)


class OnceBad(Tiny):
    """The network of rank 1 is not finite at its 14th training pass, and only then."""

    count = 0

    def forward(self, model, batch, active, tap):
        features, more = super().forward(model, batch, active, tap)
        if os.environ.get("RANK") == "1" and model.training:
            type(self).count += 1
            if type(self).count == 14:
                features = features * math.nan
        return features, more


class Faulty(Tiny):
    """A rank does what the environment says at its seventh forward pass: it hangs, dies, fails, or becomes slow."""

    count = 0

    def forward(self, model, batch, active, tap):
        if os.environ.get("RANK") == os.environ.get("FAULTY", "1") and model.training:
            type(self).count += 1
            if type(self).count >= 7:
                fail(os.environ.get("FAULT", ""), first=type(self).count == 7)
        return super().forward(model, batch, active, tap)


def fail(how: str, *, first: bool) -> None:
    if how == "slow":
        time.sleep(0.1)
    elif first and how == "hang":
        time.sleep(1000)
    elif first and how == "die":
        time.sleep(1.5)  # longer than from one sign of life to the next
        os.kill(os.getpid(), signal.SIGKILL)
    elif first and how == "raise":
        raise ValueError("the network of rank 1 is odd")
