"""Cost of a step on two gloo ranks: DistributedDataParallel alone, and this engine's exchange with its control path.

Both train equal networks on equal batches in the same processes, one step of each in turn, so that both meet the same
load of the machine. `python -m tests.benchmarks.ranks_cost --steps 100`
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import time
from contextlib import closing
from statistics import median, quantiles
from typing import Any

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from engine.config.load import load_config
from engine.host.launch import Launch
from engine.runtime.ranks.exchange import StepExchange
from engine.runtime.ranks.group import RankGroup
from engine.task import load_task, untapped
from engine.training.data.spans import stacked
from engine.training.loss_sum import Objective

WORLD = 2


def main() -> None:
    """Run both ranks and print the result of rank 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=2, help="samples of each rank")
    arguments = parser.parse_args()
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    ranks = [
        context.Process(target=be_rank, args=(rank, port, arguments.steps, arguments.batch)) for rank in range(WORLD)
    ]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()


def be_rank(rank: int, port: int, steps: int, batch_size: int) -> None:
    """Measure both ways in one rank."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(WORLD), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    group = RankGroup(Launch(rank, WORLD))
    group.connect(torch.device("cpu"), 60.0)
    ways = {"DDP": Bare(batch_size), "exchange": Exchanged(group, batch_size)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    work: dict[str, list[float]] = {name: [] for name in ways}
    inside: list[float] = []
    for number in range(steps + 5):
        for name, way in ways.items():
            dist.barrier()
            began, worked = time.perf_counter(), time.process_time()
            way.step()
            if number >= 5:
                seconds[name].append(time.perf_counter() - began)
                work[name].append(time.process_time() - worked)
        if number >= 5:
            inside.append(own_cost(ways["exchange"], group))
    if rank == 0:
        for what, found in (("time", seconds), ("processor time", work)):
            plain, ours = (median(found[name]) for name in ways)
            low, middle, high = quantiles((b / a for a, b in zip(found["DDP"], found["exchange"], strict=True)), n=4)
            print(f"{what} of a step: DDP {1e3 * plain:.1f} ms, exchange {1e3 * ours:.1f} ms", end="; ")
            print(f"ratio of pairs {middle:.4f} (quartiles {low:.3f} to {high:.3f})")
        own = median(inside)
        print(f"of it the slots: {1e6 * own:.0f} us, {100 * own / median(seconds['exchange']):.2f} % of a step")
    dist.barrier()
    group.close()


def own_cost(way: Any, group: RankGroup) -> float:
    """Return the seconds of writing and reading the slots, the control path that travels with the gradients."""
    began = time.perf_counter()
    numbers = way.exchange._numbers()
    way.exchange._unpack(numbers.tolist())
    return time.perf_counter() - began


class Bare:
    """A step with DistributedDataParallel, without any control path."""

    def __init__(self, batch_size: int) -> None:
        config = load_config("tiny")
        task = load_task(config.task)
        self.objective, self.terms = Objective(task, config), task.spec.active_terms(frozenset())
        torch.manual_seed(0)
        self.model = task.build_model(config)
        train = task.open_data(config).train
        self.batch = stacked([train.sample(0, index) for index in range(batch_size)])
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

    def loss(self, model: Any) -> torch.Tensor:
        """Return the loss of the batch."""
        outputs = self.objective.outputs(model, self.batch, frozenset(), untapped, None)
        return torch.stack(list(self.objective.terms(outputs, self.batch, self.terms, untapped).values())).sum()

    def step(self) -> None:
        """Train one step."""
        self.loss(self.forward).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


class Exchanged(Bare):
    """A step with the engine's exchange."""

    def __init__(self, group: RankGroup, batch_size: int) -> None:
        super().__init__(batch_size)
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
