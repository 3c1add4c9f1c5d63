"""Fit a curve in several processes, recorded and steered together by the cockpit.

torchrun --nproc-per-node 2 own_loop_ranks.py my-run
"""

import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from cockpit import Cockpit


def main(run: str, epochs: int = 5, resume: bool = False) -> None:
    """Train for some epochs under the name `run`, or go on with it from its newest checkpoint."""
    x = torch.linspace(-3, 3, 512)[:, None]
    data = TensorDataset(x, x.sin())
    sampler = DistributedSampler(data)
    loader = DataLoader(data, 32, sampler=sampler)
    torch.manual_seed(dist.get_rank())
    model = DistributedDataParallel(nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

    with Cockpit(model, optimizer, run=run, resume=resume) as cockpit:  # in every process
        noise = cockpit.knob("noise", 0.05, low=0.0, high=1.0)  # the same value in all
        for epoch in cockpit.epochs(epochs):
            sampler.set_epoch(epoch)
            for inputs, targets in cockpit.steps(loader):
                found = model(inputs + noise() * torch.randn_like(inputs))
                cockpit.loss({"error": (found - targets).square().mean()}).backward()
                optimizer.step()
                optimizer.zero_grad()
            with torch.no_grad():
                error = (model(x) - x.sin()).square().mean()
            cockpit.validated(loss=error)  # that of rank 0 is recorded


if __name__ == "__main__":
    dist.init_process_group("gloo")
    main(sys.argv[1], resume="--resume" in sys.argv)
    dist.destroy_process_group()
