"""The smallest task with a component, whose losses are means over the samples: ranks and one process agree on them."""

from __future__ import annotations

import math
import os
import signal
import time

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from engine.config.tree import RunConfig
from engine.protocol.task_spec import Component, Metric, Phase, TaskSpec, Term
from engine.task import DataGoneError, Splits
from engine.training.data import stream
from engine.training.data.from_dataset import from_dataset
from engine.training.data.spans import assemble

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


class Hungry(Tiny):
    """Memory is short on the ranks named in the environment: in forward, backward, update or validation of too many.

    The update has begun by then. In data memory is short once. In validation_data it is while too many are prepared.
    """

    is_hungry, has_trained, updates = False, False, 0

    def build_model(self, config):
        if os.environ["HUNGER"] == "update":
            register_optimizer_step_pre_hook(ask_in_update)
        return super().build_model(config)

    def open_data(self, config):
        if os.environ["HUNGER"] == "validation_data":
            stream.assemble = assemble_few
        return super().open_data(config)

    def changed(self, items):
        return Scarce(items) if os.environ["HUNGER"] == "data" else items

    def forward(self, model, batch, active, tap):
        features, more = super().forward(model, batch, active, tap)
        fits = int(os.environ.get("FITS", "3"))
        is_short = os.environ.get("RANK") in os.environ["HUNGRY"].split() and len(batch["x"]) > fits
        Hungry.has_trained |= model.training
        if is_short and not model.training and Hungry.has_trained and os.environ["HUNGER"] == "validation":
            ask_for_too_much(None)
        if is_short and model.training:
            if os.environ["HUNGER"] == "forward":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            if os.environ["HUNGER"] == "backward":
                features.register_hook(ask_for_too_much)
            Hungry.is_hungry = os.environ["HUNGER"] == "update"
        return features, more


class Scarce(list):
    """Items for which there is no memory at the seventh attempt of a hungry rank."""

    count = 0

    def __getitem__(self, index):
        self.count += 1
        if os.environ.get("RANK") in os.environ["HUNGRY"].split() and self.count == 7:
            raise MemoryError("cannot allocate 20.00 GiB")
        return super().__getitem__(index)


def assemble_few(samples, span):
    """Assemble a batch; of the validation only small ones on a hungry rank."""
    is_short = os.environ.get("RANK") in os.environ["HUNGRY"].split() and len(span.own) > int(os.environ["FITS"])
    if is_short and len(samples) == NUM_VAL:
        raise MemoryError("cannot allocate 20.00 GiB")
    return assemble(samples, span)


def ask_in_update(optimizer, *_):
    """Spoil a weight, as an update does that breaks off, and ask for too much."""
    wanted = int(os.environ.get("HUNGRY_STEP", "1"))
    Hungry.updates += 1
    if Hungry.is_hungry and Hungry.updates >= wanted:
        Hungry.is_hungry = False
        with torch.no_grad():
            optimizer.param_groups[0]["params"][0].add_(1.0)
        ask_for_too_much(None)


def ask_for_too_much(grad):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


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
