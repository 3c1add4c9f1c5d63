"""Gradients that the processes of a training divide: the numbers are those of the whole gradients, in each process."""

from __future__ import annotations

import math
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import Replicate, Shard

from engine.adapters.hooks.gradients.divided_gradients import divided_among
from engine.adapters.hooks.gradients.gradient_reader import GradientReader
from engine.adapters.hooks.gradients.parameter_names import ParameterNames
from engine.adapters.hooks.optimizer_hooks import OptimizerHooks
from engine.adapters.hooks.optimizers.wrapped_optimizers import have_all_of
from engine.errors import UserError


class Mesh:
    """Processes in a grid of `sizes`."""

    def __init__(self, *sizes: int) -> None:
        self._sizes = sizes

    def size(self, axis: int | None = None) -> int:
        return math.prod(self._sizes) if axis is None else self._sizes[axis]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Four processes. `others` is what the other three add to the sums, 0 unless a test says more."""
    world = SimpleNamespace(others=None, num_calls=0)

    def all_reduce(sums: Tensor) -> None:
        world.num_calls += 1
        sums += 0 if world.others is None else torch.tensor(world.others, dtype=sums.dtype)

    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 4)
    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    return world


def divided(*placements: Any, mesh: Mesh, grad: tuple[float, ...] | None = (3.0, 4.0)) -> Any:
    """A parameter as torch has one that is divided so, with this process' part of its gradient."""
    parameter: Any = nn.Parameter(torch.ones(2))
    parameter.placements, parameter.device_mesh = placements, mesh
    parameter.grad = None if grad is None else torch.tensor(grad)
    return parameter


def read(*parameters: Any) -> list[float]:
    found = divided_among(parameters, ())
    assert found is not None
    return found.squares()


def test_a_part_of_each_process_is_added_up_and_copies_count_once(world: SimpleNamespace) -> None:
    sharded, grid = Mesh(4), Mesh(2, 2)
    parameters = [
        divided(Shard(0), mesh=sharded),
        divided(Replicate(), Shard(0), mesh=grid),
        divided(Replicate(), Replicate(), mesh=grid),
        divided(Shard(0), mesh=sharded, grad=None),
        nn.Parameter(torch.ones(2)),
    ]
    parameters[-1].grad = torch.tensor([3.0, 4.0])
    assert read(*parameters) == [25.0, 12.5, 6.25, 0.0, 6.25] and world.num_calls == 1
    assert read(divided(Shard(0), mesh=sharded, grad=(1e25, 0.0))) == [pytest.approx(1e50)]


def test_what_is_not_finite_elsewhere_is_named_here(world: SimpleNamespace) -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    marked: Any = network[0].weight
    marked.placements, marked.device_mesh = (Shard(0),), Mesh(4)
    reader = GradientReader(torch.optim.SGD(network.parameters(), lr=0.1), ParameterNames({"": network}))
    assert reader.refresh() and reader.is_divided and not reader.weight_norms()
    world.others = (9.0, 0.0, 16.0, 0.0)
    assert reader.read().total == 5.0 and reader.read().by_part() == {"0": 3.0, "1": 4.0}
    world.others = (9.0, 0.0, math.nan, 0.0)
    norms = reader.read()
    assert norms.bad == ("1.weight",) and math.isnan(norms.total)


def test_groups_of_processes_are_refused(world: SimpleNamespace) -> None:
    with pytest.raises(UserError, match="2 of 4 processes divide a part of the network"):
        divided_among([divided(Shard(0), mesh=Mesh(2))], ())

    class FullyShardedDataParallel(nn.Module):
        sharding_strategy = SimpleNamespace(name="HYBRID_SHARD")
        process_group = Mesh(4)

    with pytest.raises(UserError, match=r"divide the network in groups \(HYBRID_SHARD\)"):
        divided_among([nn.Parameter(torch.ones(1))], [FullyShardedDataParallel()])
    FullyShardedDataParallel.sharding_strategy.name = "FULL_SHARD"
    wrapped = nn.Parameter(torch.ones(1))
    wrapped.grad = torch.tensor([2.0])
    found = divided_among([wrapped], [FullyShardedDataParallel()])
    assert found is not None and found.squares() == [4.0]


def test_a_network_that_each_process_has_is_read_as_ever(world: SimpleNamespace) -> None:
    assert divided_among([nn.Parameter(torch.ones(1))], [nn.Linear(1, 1)]) is None and not world.num_calls


class Partitioned(torch.optim.Optimizer):
    """Updates a part of the parameters by an optimizer inside, as ZeroRedundancyOptimizer does."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__(parameters, {"lr": 0.1})
        self.inside = torch.optim.AdamW(self.param_groups[0]["params"][:1], lr=0.1)

    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.inside.step()


def test_an_optimizer_inside_another_keeps_its_moments_in_a_step_that_is_left_out() -> None:
    network = nn.Linear(2, 1)
    optimizer = Partitioned(network.parameters())
    hooks = OptimizerHooks(ParameterNames({"": network}), pytest.fail)
    hooks.watch(optimizer)
    assert have_all_of(hooks.readers, optimizer.inside)
    assert not have_all_of(hooks.readers, torch.optim.SGD([torch.ones(1)], lr=0.1))
    steps: list[list[float]] = []
    for factor in (1.0, math.nan, 1.0):
        optimizer.zero_grad()
        (network(torch.ones(1, 2)) * factor).sum().backward()
        optimizer.step()
        steps.append([float(state["step"]) for state in optimizer.inside.state.values()])
    hooks.remove()
    assert steps == [[1.0], [1.0], [2.0]]
