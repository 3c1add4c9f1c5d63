"""Cost of a step on two gloo ranks: DistributedDataParallel alone, and this engine's exchange with its control path.

Both train equal networks on equal batches in the same processes, one step of each in turn, and which is first
alternates, so that both meet the same load of the machine. The result is the median over many pairs, with the range
that holds it in 95 of 100 measurements. `python -m tests.benchmarks.ranks_cost --seconds 40`
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from statistics import median
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from engine.config.load import load_config
from engine.runtime.host.launch import Launch
from engine.runtime.ranks.exchange import StepExchange
from engine.runtime.ranks.group import RankGroup
from engine.task import load_task, untapped
from engine.training.data.spans import stacked
from engine.training.loss_sum import Objective

WORLD = 2


def main() -> None:
    """Run both ranks and print the result of rank 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000, help="the largest number of pairs")
    parser.add_argument("--seconds", type=float, default=40.0, help="measure about so long")
    parser.add_argument("--batch", type=int, default=2, help="samples of each rank")
    parser.add_argument("--width", type=int, default=0, help="train four layers of so many values instead of `tiny`")
    arguments = parser.parse_args()
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=be_rank, args=(rank, port, arguments)) for rank in range(WORLD)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()


def be_rank(rank: int, port: int, arguments: argparse.Namespace) -> None:
    """Measure both ways in one rank."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(WORLD), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    group = RankGroup(Launch(rank, WORLD))
    group.connect(torch.device("cpu"), 60.0)
    ways = {"DDP": Bare(arguments), "exchange": Exchanged(arguments, group)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    work: dict[str, list[float]] = {name: [] for name in ways}
    inside: list[float] = []
    start = time.monotonic()
    for number in range(-5, arguments.steps):
        for name, way in ways.items() if number % 2 else reversed(ways.items()):
            dist.barrier()
            began, worked = time.perf_counter(), time.process_time()
            way.step()
            if number >= 0:
                seconds[name].append(time.perf_counter() - began)
                work[name].append(time.process_time() - worked)
        if number >= 0:
            inside.append(own_cost(ways["exchange"], group))
            if group.most(int(time.monotonic() - start >= arguments.seconds)):
                break
    if rank == 0:
        print(f"{len(inside)} pairs")
        for what, found in (("time", seconds), ("processor time", work)):
            plain, ours = (median(found[name]) for name in ways)
            middle, low, high = certain([b / a for a, b in zip(found["DDP"], found["exchange"], strict=True)])
            print(f"{what} of a step: DDP {1e3 * plain:.2f} ms, exchange {1e3 * ours:.2f} ms", end="; ")
            print(f"ratio of pairs {middle:.4f} ({low:.4f} to {high:.4f})")
        own = median(inside)
        print(f"of it the slots: {1e6 * own:.0f} us, {100 * own / median(seconds['exchange']):.2f} % of a step")
    dist.barrier()
    group.close()


def certain(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median, and the range that holds the true one in 95 of 100 measurements."""
    ordered = sorted(values)
    reach = 0.98 * len(ordered) ** 0.5
    low, high = (len(ordered) / 2 + part * reach for part in (-1, 1))
    return median(ordered), ordered[max(int(low), 0)], ordered[min(int(high), len(ordered) - 1)]


def own_cost(way: Any, group: RankGroup) -> float:
    """Return the seconds of writing and reading the slots, the control path that travels with the gradients."""
    began = time.perf_counter()
    numbers = way.exchange._numbers()
    way.exchange._unpack(numbers.tolist())
    return time.perf_counter() - began


Loss = Callable[[Any], torch.Tensor]


def of_task(arguments: argparse.Namespace) -> tuple[nn.Module, Loss]:
    """Return the network of `tiny`, and its loss on a batch."""
    config = load_config("tiny")
    task = load_task(config.task)
    objective, terms = Objective(task, config), task.spec.active_terms(frozenset())
    train = task.open_data(config).train
    batch = stacked([train.sample(0, index) for index in range(arguments.batch)])

    def loss(model: Any) -> torch.Tensor:
        outputs = objective.outputs(model, batch, frozenset(), untapped, None)
        return torch.stack(list(objective.terms(outputs, batch, terms, untapped).values())).sum()

    return task.build_model(config), loss


def layers(arguments: argparse.Namespace) -> tuple[nn.Module, Loss]:
    """Return a plain network whose steps are short, and its loss on a batch."""
    width = arguments.width
    network = nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(width, width), nn.Tanh())])
    batch = torch.randn(arguments.batch, width)
    return network, lambda model: model(batch).square().mean()


class Bare:
    """A step with DistributedDataParallel, without any control path."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        torch.manual_seed(0)
        self.model, self.loss = layers(arguments) if arguments.width else of_task(arguments)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)
        self.forward: Any = self.wrapped()

    def wrapped(self) -> Any:
        """Return the network as the forward pass uses it. Parts that are off have no gradient."""
        for parameter in self.unused():
            parameter.requires_grad_(False)
        return DistributedDataParallel(self.model, gradient_as_bucket_view=True)

    def unused(self) -> list[Any]:
        """Return the parameters without a gradient."""
        self.loss(self.model).backward()
        found = [p for p in self.model.parameters() if p.grad is None]
        self.optimizer.zero_grad()
        return found

    def step(self) -> None:
        """Train one step."""
        self.loss(self.forward).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


class Exchanged(Bare):
    """A step with the engine's exchange."""

    def __init__(self, arguments: argparse.Namespace, group: RankGroup) -> None:
        super().__init__(arguments)
        self.exchange = StepExchange(group, self.model, lambda: 0)

    def wrapped(self) -> Any:
        """Return the plain network."""
        for parameter in self.unused():
            parameter.requires_grad_(False)
        return self.model

    def step(self) -> None:
        """Train one step."""
        self.exchange.begin()
        loss = self.loss(self.forward)
        (loss / WORLD).backward()
        self.exchange.reduce(loss.detach()[None], 1 / WORLD)
        self.optimizer.step()
        self.optimizer.zero_grad()


if __name__ == "__main__":
    main()
