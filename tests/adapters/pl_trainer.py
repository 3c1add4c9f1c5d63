"""A small training of a Lightning trainer for tests; importing this imports Lightning, so tests do it late."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning import Callback
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from cockpit.lightning import CockpitCallback
from tests.adapters.remote import notice
from tests.adapters.trainer_journal import TrainerJournal

NUM_SAMPLES = 48
BATCH = 4
POISONED = 26
"""The sample that makes a logarithm NaN: it is in the batch of step 7."""
Build = Callable[[Any], Any]


class Logarithm(nn.Module):
    """log(1), or log(-1) where the input is large."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros, or NaN."""
        return torch.log(1.0 - 2.0 * (x > 100).float())


class Net(nn.Module):
    """A classifier with a logarithm that is 0 for every sample but the poisoned one."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
        self.logarithm = Logarithm()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.head(self.body(x.clamp(-10, 10)) + self.logarithm(x[:, :1]))


class Module(pl.LightningModule):
    """The classifier as a module of Lightning; it notes the rate that the optimizer uses at each step."""

    def __init__(self, schedule: Build | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = Net()
        self.schedule = schedule
        self.used: list[float] = []
        self.scheduled: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss."""
        x, y = batch
        loss = nn.functional.cross_entropy(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Log loss and accuracy."""
        x, y = batch
        out = self.net(x)
        self.log("val_loss", nn.functional.cross_entropy(out, y))
        self.log("val_accuracy", (out.argmax(1) == y).float().mean())

    def configure_optimizers(self) -> Any:
        """Return AdamW, with the schedule if there is one."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2)
        if self.schedule is None:
            return optimizer
        return [optimizer], [{"scheduler": self.schedule(optimizer), "interval": "step"}]

    def on_train_start(self) -> None:
        """Put a hook on the optimizer, after the cockpit's."""
        optimizer = self.trainer.optimizers[0]
        optimizer.register_step_pre_hook(lambda opt, *_: self.used.append(opt.param_groups[0]["lr"]))

    def on_train_batch_end(self, *_: Any) -> None:
        """Note the schedule."""
        self.scheduled.append(self.trainer.optimizers[0].param_groups[0]["lr"])


class ComputesBefore(Module):
    """A module whose training step computes the NaN outside of its network."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss."""
        x, y = batch
        return nn.functional.cross_entropy(self.net(torch.sqrt(100.0 - x.clamp(min=-10))), y)


class TwoOptimizers(Module):
    """A module that optimizes by hand, with one optimizer for each part."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
        """Update both parts."""
        x, y = batch
        both: Any = self.optimizers()
        for optimizer in both:
            optimizer.zero_grad()
        self.manual_backward(nn.functional.cross_entropy(self.net(x), y))
        for optimizer in both:
            self.clip_gradients(optimizer, gradient_clip_val=0.5, gradient_clip_algorithm="norm")
            optimizer.step()

    def configure_optimizers(self) -> Any:
        """Return an optimizer for the body and one for the head."""
        return [
            torch.optim.AdamW(self.net.body.parameters(), lr=1e-2),
            torch.optim.SGD(self.net.head.parameters(), 0.1),
        ]


class At(Callback):
    """Sends commands after step `step`, and waits until the run has noticed them."""

    def __init__(self, step: int, callback: Any, *commands: Any) -> None:
        self.step, self.callback, self.commands = step, callback, commands

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Send the commands, which are carried out after this step."""
        if trainer.global_step == self.step:
            notice(self.callback.directory, self.callback.cockpit.run, *self.commands)


class WithoutStep7(Callback):
    """Leaves out the update of step 7 by hand."""

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Remove the gradients."""
        if trainer.fit_loop.epoch_loop.total_batch_idx == 6:
            for parameter in pl_module.parameters():
                parameter.grad = None


def loader(*, poisoned: bool = False) -> Any:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(NUM_SAMPLES, 4, generator=generator)
    if poisoned:
        rows[POISONED, 0] = 1000.0
    return DataLoader(TensorDataset(rows, torch.arange(NUM_SAMPLES) % 3), batch_size=BATCH)


def trainer(tmp_path: Path, *callbacks: Any, **options: Any) -> Any:
    given: dict[str, Any] = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "default_root_dir": tmp_path / "out",
        "num_sanity_val_steps": 0,
        **options,
    }
    return pl.Trainer(callbacks=list(callbacks), **given)


def scaled_precision() -> Any:
    """Return mixed precision with a loss scaler, on the CPU."""
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=1024.0))


def cockpit(tmp_path: Path, **options: Any) -> Any:
    return CockpitCallback("pl", runs_dir=tmp_path / "runs", **options)


_JOURNAL = TrainerJournal("pl")
journal = _JOURNAL.opened
series_of = _JOURNAL.series_of
state_of = _JOURNAL.state_of
entries_of = _JOURNAL.entries_of
events_of = _JOURNAL.events_of


def weights_and_moments(made: Any) -> dict[str, Tensor]:
    found = {name: value.detach() for name, value in made.lightning_module.named_parameters()}
    for number, optimizer in enumerate(made.optimizers):
        for parameter, held in optimizer.state_dict()["state"].items():
            found |= {f"{number}.{parameter}.{key}": value for key, value in held.items() if value is not None}
    return copy.deepcopy(found)
