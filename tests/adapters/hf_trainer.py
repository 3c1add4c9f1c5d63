"""A small training of a Hugging Face trainer for tests; importing this imports transformers, so tests do it late."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from cockpit.huggingface import CockpitCallback
from tests.adapters.remote import notice
from tests.adapters.trainer_journal import TrainerJournal

NUM_SAMPLES = 48
BATCH = 4
POISONED = 26
"""The sample that makes a logarithm NaN: it is in the batch of step 7."""


class Network(nn.Module):
    """A classifier with a logarithm that is 0 for every sample but the poisoned one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
        self.logarithm = Logarithm()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Return logits and loss, as the trainer expects them."""
        out = self.head(self.body(x.clamp(-10, 10)) + self.logarithm(x[:, :1]))
        return {"loss": nn.functional.cross_entropy(out, labels), "logits": out}


class Logarithm(nn.Module):
    """log(1), or log(-1) where the input is large."""

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros, or NaN."""
        return torch.log(1.0 - 2.0 * (x > 100).float())


class InOrder(Trainer):
    """A trainer that does not shuffle."""

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


class Rates(TrainerCallback):
    """Notes the learning rate that the optimizer uses at each step, and the one that the schedule has after it."""

    def __init__(self) -> None:
        self.used: list[float] = []
        self.scheduled: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Put a hook on the optimizer, after the cockpit's."""
        optimizer = kwargs["optimizer"].optimizer
        optimizer.register_step_pre_hook(lambda opt, *_: self.used.append(opt.param_groups[0]["lr"]))

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the schedule."""
        self.scheduled.append(kwargs["lr_scheduler"].get_last_lr()[0])


class At(TrainerCallback):
    """Sends a command after step `step`, and waits until the run has noticed it."""

    def __init__(self, step: int, callback: Any, *commands: Any) -> None:
        self.step, self.callback, self.commands = step, callback, commands

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Send the commands, which are carried out after this step."""
        if state.global_step == self.step:
            notice(self.callback.directory, self.callback.cockpit.run, *self.commands)


def samples(*, poisoned: bool = False) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(NUM_SAMPLES, 4, generator=generator)
    if poisoned:
        rows[POISONED, 0] = 1000.0
    return [{"x": row, "labels": number % 3} for number, row in enumerate(rows)]


def trainer(tmp_path: Path, *callbacks: Any, poisoned: bool = False, **arguments: Any) -> Trainer:
    given: dict[str, Any] = {
        "max_steps": 12,
        "per_device_train_batch_size": BATCH,
        "learning_rate": 1e-2,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "logging_steps": 5,
        **arguments,
    }
    args = TrainingArguments(str(tmp_path / "out"), **given)
    data = samples(poisoned=poisoned)
    made = InOrder(Network(), args, train_dataset=data, eval_dataset=data[:8], callbacks=list(callbacks))
    made.remove_callback(PrinterCallback)
    return made


def cockpit(tmp_path: Path, **options: Any) -> Any:
    return CockpitCallback("hf", runs_dir=tmp_path / "runs", **options)


_JOURNAL = TrainerJournal("hf")
journal = _JOURNAL.opened
series_of = _JOURNAL.series_of
state_of = _JOURNAL.state_of
entries_of = _JOURNAL.entries_of
events_of = _JOURNAL.events_of


def weights_and_moments(made: Trainer) -> dict[str, Tensor]:
    inner: Any = made.optimizer.optimizer  # type: ignore[union-attr]
    found = {name: value.detach() for name, value in made.model.named_parameters()}  # type: ignore[union-attr]
    for number, held in inner.state_dict()["state"].items():
        found |= {f"{number}.{key}": value for key, value in held.items()}
    return copy.deepcopy(found)


class WithoutStep7(TrainerCallback):
    """Leaves out the update of step 7 by hand."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Remove the gradients."""
        if state.global_step == 6:
            for parameter in kwargs["model"].parameters():
                parameter.grad = None
