"""The exchange between ranks on the device: one rank by nccl, which needs a single GPU; on the CPU by gloo."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
import torch
import torch.distributed as dist
from torch import nn

from engine.runtime.host.launch import Launch
from engine.runtime.ranks.exchange import WORD, StepExchange, signalled
from engine.runtime.ranks.group import RankGroup

pytestmark = pytest.mark.gpu


@pytest.fixture
def group(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> Iterator[RankGroup]:
    """Return the group of one rank, connected for tensors on the device."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    for name, value in {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": "0", "WORLD_SIZE": "1"}.items():
        monkeypatch.setenv(name, value)
    made = RankGroup(Launch(0, 1))
    made.connect(device, 30.0)
    yield made
    made.close()


def test_the_exchange_of_one_rank_keeps_gradients_and_carries_what_it_says(
    group: RankGroup, device: torch.device
) -> None:
    assert dist.get_backend() == ("nccl" if device.type == "cuda" else "gloo")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2)).to(device)
    exchange = StepExchange(group, model, lambda: WORD | signalled(15))
    exchange.begin()
    model(torch.randn(5, 4, device=device)).square().mean().backward()
    model[2].bias.grad = None
    grads = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    statistics = model[1].running_mean.clone()
    losses, bad = exchange.reduce(torch.tensor([1.5, 2.5], device=device), 1.0)
    assert losses.tolist() == [1.5, 2.5] and bad.tolist() == [0.0]
    assert exchange.told.is_word and not exchange.told.is_void and exchange.told.signal == 15
    assert model[2].bias.grad is None and len(grads) == 5
    assert all(torch.equal(p.grad, grads[name]) for name, p in model.named_parameters() if p.grad is not None)
    assert torch.equal(model[1].running_mean, statistics)

    exchange.begin()
    exchange.is_void = True
    losses, bad = exchange.reduce(torch.tensor([1.5, 2.5], device=device), 1.0)
    assert exchange.told.is_void and bool(losses.isnan().all()) and bad.tolist() == [1.0]
    assert group.most(3) == 3
