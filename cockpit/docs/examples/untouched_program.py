"""Fit a curve: a program that knows nothing of the cockpit.

training-cockpit run untouched_program.py --steps 2000
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=500)
parser.add_argument("--lr", type=float, default=1e-2)
options = parser.parse_args()

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=options.lr)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=options.lr, total_steps=options.steps)

for step in range(options.steps):
    x = 6 * torch.rand(64, 1) - 3
    if step == 60:
        x[0] = float("nan")  # one bad sample: without the cockpit, all weights are NaN from here on
    loss = nn.functional.mse_loss(model(x), x.sin())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()

print(f"error {loss:.4f}")
