"""A correct task, and others with one mistake each."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from engine.config.tree import RunConfig
from engine.outputs.preview_file import Plane, Preview
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


class SingleTerm(Right):
    spec = TaskSpec(terms=(Term("error")), metrics=(Metric("m"),), score="m")  # the comma is missing


class SingleAdded(Right):
    spec = replace(Right.spec, phases=(Phase("base"), Phase("+ extra", adds=("extra"))))


class TextTerms(Right):
    spec = replace(Right.spec, terms=("error",))


class OddWeight(Right):
    spec = replace(Right.spec, terms=(Term("error", weight=-1.0),))


class OddBounds(Right):
    spec = replace(Right.spec, metrics=(Metric("closeness", low=1, high=0),))


class OddKey(Right):
    spec = replace(Right.spec, components=(Component("model_config", has_parameters=False), Component("extra")))


class ExcludesItself(Right):
    spec = replace(Right.spec, components=(Component("extra", excludes=("extra",)),))


class FirstPhaseAdds(Right):
    spec = replace(Right.spec, phases=(Phase("all", adds=("extra",)),))


class InitFails(Right):
    def __init__(self):
        raise KeyError("width")


class InitMixesTypes(Right):
    def __init__(self):
        self.width = 1 + "wide"


class NoSplits(Right):
    def open_data(self, config):
        return super().open_data(config).train, []


class PlainSplits(Right):
    def open_data(self, config):
        return Splits([1, 2, 3], [1])


class NoNetwork(Right):
    def build_model(self, config):
        return Net(), None


class Lazy(Right):
    def build_model(self, config):
        net = Net()
        net.body = nn.LazyLinear(3)
        return net


class Frozen(Right):
    def build_model(self, config):
        return Net().requires_grad_(False)


class Sparse(Right):
    def build_model(self, config):
        net = Net()
        net.names = nn.Embedding(3, 2, sparse=True)
        return net


class ComplexParameter(Right):
    def build_model(self, config):
        net = Net()
        net.extra = nn.Linear(3, 3, dtype=torch.complex64)
        return net


class ComplexBuffer(Right):
    def build_model(self, config):
        net = Net()
        net.body.register_buffer("angles", torch.zeros(2, dtype=torch.complex64))
        return net


class MetaNetwork(Right):
    def build_model(self, config):
        with torch.device("meta"):
            return Net()


class OddTap(Right):
    def forward(self, model, batch, active, tap):
        return model.body(tap("extras", batch["x"])), None


class LossSum(Right):
    def losses(self, outputs, batch, terms, config, tap):
        return super().losses(outputs, batch, ("error",), config, tap)["error"]


class Detached(Right):
    def forward(self, model, batch, active, tap):
        return tuple(part if part is None else part.detach() for part in super().forward(model, batch, active, tap))


class NumpyMetric(Right):
    """Right too: a float of NumPy is a float."""

    def metrics(self, sums, count):
        return {"closeness": np.float64(sums["sum"]) / count}


class DoublePrecision(Right):
    """Right too: weights of float64, a buffer of bfloat16, another default type; values are read when it is built."""

    def build_model(self, config):
        torch.set_default_dtype(torch.float64)
        net = Net().double()
        net.body.register_buffer("short", torch.ones(2, dtype=torch.bfloat16))
        assert net.body.weight.abs().max().item() < 9
        return net

    def forward(self, model, batch, active, tap):
        return super().forward(model, {"x": batch["x"].double()}, active, tap)


class HostRandom(Right):
    """Right too: its network and its steps draw from the generators of Python and NumPy."""

    def build_model(self, config):
        net = Net()
        net.body.weight.data *= 1 + random.random()
        return net

    def forward(self, model, batch, active, tap):
        features, more = super().forward(model, batch, active, tap)
        return features * (random.random() + float(np.random.rand())), more


class Pictured(Right):
    """Right too: with pictures, and an error of each sample."""

    plane = Plane("image", "rgb", np.zeros((4, 5, 3), np.uint8))
    grid = np.zeros((4, 4, 3), np.uint8)

    def sample_errors(self, outputs, batch, config):
        return outputs[0].sum(1)

    def preview(self, outputs, batch, sample_id, row):
        return Preview(sample_id, (self.plane, Plane("mask", "classes", np.zeros((4, 5), bool))))

    def preview_grid(self, previews):
        return self.grid


class OddErrors(Pictured):
    def sample_errors(self, outputs, batch, config):
        return outputs[0]


class ListedErrors(Pictured):
    def sample_errors(self, outputs, batch, config):
        return [0.0] * len(outputs[0])


class NoPreview(Pictured):
    def preview(self, outputs, batch, sample_id, row):
        return {"image": self.plane}


class NoPlane(Pictured):
    plane = np.zeros((4, 5, 3), np.uint8)


class OddKind(Pictured):
    plane = Plane("image", "grey", np.zeros((4, 5), np.uint8))


class WidePlane(Pictured):
    plane = Plane("image", "scalar", np.zeros((4, 5)))


class SamePlanes(Pictured):
    plane = Plane("mask", "classes", np.zeros((4, 5), np.uint8))


class OtherSize(Pictured):
    plane = Plane("truth", "classes", np.zeros((3, 5), np.uint8))


class NoGrid(Pictured):
    grid = None


class TotalPart(Right):
    def build_model(self, config):
        net = Net()
        net.total = nn.Linear(2, 2)
        return net


class Masked(Right):
    """Right too: a buffer holds infinities, as the mask of an attention does, and another one has no value yet."""

    def build_model(self, config):
        net = Net()
        net.body.register_buffer("mask", torch.full((3, 3), -math.inf).triu(1))
        net.body.register_buffer("unset", torch.full((2,), math.nan))
        return net
