"""A correct task, and others with one mistake each."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from engine.config.tree import RunConfig
from engine.protocol.task_spec import Component, Metric, Phase, TaskSpec, Term
from engine.task import Splits
from engine.training.data.from_dataset import from_dataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 3)
        self.extra = nn.Linear(3, 3)


class Right:
    Config = RunConfig
    spec = TaskSpec(
        name="right",
        terms=(Term("error"), Term("extra", component="extra")),
        components=(Component("extra"),),
        phases=(Phase("base"), Phase("+ extra", adds=("extra",))),
        metrics=(Metric("closeness"),),
        score="closeness",
    )

    def open_data(self, config):
        items = [{"x": torch.full((2,), float(number)), "y": number % 3} for number in range(8)]
        return Splits(from_dataset(items, shuffle=True), from_dataset(items))

    def build_model(self, config):
        return Net()

    def forward(self, model, batch, active, tap):
        features = model.body(batch["x"])
        return features, model.extra(tap("extra", features)) if "extra" in active else None

    def losses(self, outputs, batch, terms, config, tap):
        features, more = outputs
        found = {"error": nn.functional.cross_entropy(features, batch["y"])}
        return {**found, "extra": more.square().mean()} if "extra" in terms else found

    def score(self, outputs, batch, config):
        return {"sum": outputs[0].sum()}

    def metrics(self, sums, count):
        return {"closeness": float(sums["sum"]) / count}


class NoMembers:
    Config = RunConfig
    spec = Right.spec


class NoConfig(Right):
    Config = dict


class NoSpec(Right):
    spec = ()


class Arguments(Right):
    def __init__(self, width):
        self.width = width


class OddScore(Right):
    spec = TaskSpec(terms=(Term("error"),), metrics=(Metric("closeness"),), score="closenes")


class OddPhase(Right):
    spec = TaskSpec(
        terms=(Term("error"),), metrics=(Metric("m"),), score="m", phases=(Phase("base"), Phase("two", adds=("extra",)))
    )


class OddTerm(Right):
    spec = TaskSpec(
        terms=(Term("error"), Term("more", component="extras")),
        metrics=(Metric("m"),),
        score="m",
        components=(Component("extra"),),
    )


class TermMissing(Right):
    def losses(self, outputs, batch, terms, config, tap):
        return {"error": super().losses(outputs, batch, terms, config, tap)["error"]}


class TermPerSample(Right):
    def losses(self, outputs, batch, terms, config, tap):
        return {name: value.expand(2) for name, value in super().losses(outputs, batch, terms, config, tap).items()}


class TermNumber(Right):
    def losses(self, outputs, batch, terms, config, tap):
        return {name: float(value) for name, value in super().losses(outputs, batch, terms, config, tap).items()}


class OtherOrder(Right):
    """Right too: the order in which losses() names its terms does not matter, nor what it names besides."""

    def losses(self, outputs, batch, terms, config, tap):
        found = super().losses(outputs, batch, terms, config, tap)
        return {"more": torch.zeros(3), **dict(reversed(found.items()))}


class LooseParameter(Right):
    def build_model(self, config):
        net = Net()
        net.scale = nn.Parameter(torch.ones(()))
        return net


class SharedParameter(Right):
    def build_model(self, config):
        net = Net()
        net.head = nn.Sequential(net.body)
        return net


class NoPart(Right):
    def build_model(self, config):
        net = Net()
        net.more = net.extra
        del net.extra
        return net


class NoParameters(Right):
    def build_model(self, config):
        return nn.Identity()


class NoSums(Right):
    def score(self, outputs, batch, config):
        return {"sum": 1.0}


class NoMetric(Right):
    def metrics(self, sums, count):
        return {"other": 1.0}


class TensorMetric(Right):
    def metrics(self, sums, count):
        return {"closeness": sums["sum"]}


class OtherMetric(Right):
    def metrics(self, sums, count):
        return {**super().metrics(sums, count), "other": np.float32(1.0)}


class NoValidation(Right):
    def open_data(self, config):
        return Splits(super().open_data(config).train, [])


class ForwardFails(Right):
    def forward(self, model, batch, active, tap):
        return model.missing(batch["x"])


class FailsLater(Right):
    def losses(self, outputs, batch, terms, config, tap):
        if torch.is_grad_enabled():
            raise ZeroDivisionError("a mistake in the losses")
        return super().losses(outputs, batch, terms, config, tap)
