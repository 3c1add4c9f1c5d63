"""Classify scikit-learn's handwritten digits in a loop of one's own, recorded and steered by the cockpit.

python own_loop.py my-run
"""

import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from cockpit import Cockpit


def main(run: str, epochs: int = 5, resume: bool = False) -> None:
    """Train for some epochs under the name `run`, or go on with it from its newest checkpoint."""
    torch.manual_seed(0)
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    training, validation = random_split(TensorDataset(images, torch.tensor(digits.target)), [1500, 297])
    loader = DataLoader(training, 32, shuffle=True)
    tests, answers = validation[:]

    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=5 * len(loader))

    with Cockpit(model, optimizer, run=run, scheduler=schedule, resume=resume) as cockpit:
        noise = cockpit.knob("noise", 0.05, low=0.0, high=1.0)  # `set-knob noise 0.2` while it trains
        for _ in cockpit.epochs(epochs):
            for x, y in cockpit.steps(loader):
                logits = model(x + noise() * torch.randn_like(x))
                terms = {"cross_entropy": F.cross_entropy(logits, y), "size": 1e-4 * logits.square().mean()}
                cockpit.loss(terms).backward()
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
                cockpit.log(confidence=logits.softmax(1).amax(1).mean())
            with torch.no_grad():
                found = model(tests)
            cockpit.validated(
                accuracy=(found.argmax(1) == answers).float().mean(), loss=F.cross_entropy(found, answers)
            )


if __name__ == "__main__":
    main(sys.argv[1], resume="--resume" in sys.argv)
