"""Times of single steps of a Hugging Face or a Lightning trainer, with and without the cockpit's callback.

The benchmark `adapter_cost --kind` uses it. Every batch is the same tensor, so that the loader costs next to nothing.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_FIRST = 10
"""Number of steps at the beginning of a turn that are left out."""


class _Network(nn.Module):
    """A network with its loss, as Hugging Face's trainer expects it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the loss."""
        return {"loss": nn.functional.cross_entropy(self.model(x), labels)}


def _durations(ends: Sequence[float]) -> list[float]:
    return [after - before for before, after in zip(ends[_FIRST:], ends[_FIRST + 1 :], strict=False)]


def huggingface_turn(model: nn.Module, x: Tensor, y: Tensor, num_steps: int, *, watched: bool) -> list[float]:
    """Return the seconds of each step of a trainer."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    from cockpit.huggingface import CockpitCallback

    ends: list[float] = []

    class Clock(TrainerCallback):
        """Notes when a step ends."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            """Note the time."""
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            max_steps=num_steps,
            per_device_train_batch_size=1,
            learning_rate=1e-4,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
        )
        ours: list[Any] = [CockpitCallback("cost", runs_dir=Path(folder) / "runs")] if watched else []
        rows: Any = [{"x": x, "labels": y}] * num_steps
        made = Trainer(
            _Network(model),
            arguments,
            data_collator=lambda rows: rows[0],
            train_dataset=rows,
            callbacks=[*ours, Clock()],
        )
        made.remove_callback(PrinterCallback)
        made.train()
    return _durations(ends)


def lightning_turn(model: nn.Module, x: Tensor, y: Tensor, num_steps: int, *, watched: bool) -> list[float]:
    """Return the seconds of each step of a trainer."""
    import pytorch_lightning as pl

    from cockpit.lightning import CockpitCallback

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    ends: list[float] = []

    class Module(pl.LightningModule):
        """The network as a module of Lightning."""

        def __init__(self) -> None:
            super().__init__()
            self.net = model

        def training_step(self, batch: Any, batch_idx: int) -> Tensor:
            """Return the loss."""
            return nn.functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            """Return AdamW."""
            return torch.optim.AdamW(self.parameters(), lr=1e-4)

    class Clock(pl.Callback):
        """Notes when a step ends."""

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            """Note the time."""
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        ours: list[Any] = [CockpitCallback("cost", runs_dir=Path(folder) / "runs")] if watched else []
        made = pl.Trainer(
            max_steps=num_steps,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
            callbacks=[*ours, Clock()],
        )
        made.fit(Module(), torch.utils.data.DataLoader([(x, y)] * num_steps, batch_size=None))  # pyright: ignore[reportArgumentType]
    return _durations(ends)


TURNS = {"huggingface": huggingface_turn, "lightning": lightning_turn}
