"""Classify scikit-learn's handwritten digits with a Lightning trainer, recorded and steered by the cockpit.

python lightning_trainer.py my-run
"""

import sys
from collections.abc import Callable

import pytorch_lightning as L
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from cockpit.lightning import CockpitCallback


class Digits(L.LightningModule):
    def __init__(self, smoothing: Callable[[], float]) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self.net(images), labels, label_smoothing=self.smoothing())

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        images, labels = batch
        out = self.net(images)
        self.log("val_loss", F.cross_entropy(out, labels))
        self.log("val_accuracy", (out.argmax(1) == labels).float().mean())

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=5e-3)
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]


def main(run: str, epochs: int = 4) -> None:
    """Train for some epochs under the name `run`; the trainer saves its checkpoints as always."""
    digits = load_digits()
    images = torch.tensor(digits.data, dtype=torch.float32) / 16
    training, validation = random_split(TensorDataset(images, torch.tensor(digits.target)), [1500, 297])
    cockpit = CockpitCallback(run, score="accuracy")
    smoothing = cockpit.knob("smoothing", 0.05, low=0.0, high=0.5)  # `set-knob smoothing 0.2` while it trains
    trainer = L.Trainer(max_epochs=epochs, logger=False, default_root_dir=f"{run}-output", callbacks=[cockpit])
    trainer.fit(Digits(smoothing), DataLoader(training, 32, shuffle=True), DataLoader(validation, 99))


if __name__ == "__main__":
    main(*sys.argv[1:2])
