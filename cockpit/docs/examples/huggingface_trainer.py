"""Train a small GPT-2 on the characters of a text with a Hugging Face trainer, recorded and steered by the cockpit.

python huggingface_trainer.py my-run
"""

import pydoc_data.topics
import sys

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments
from transformers.utils import ModelOutput

from cockpit.huggingface import CockpitCallback

LENGTH = 64


def chunks() -> list[dict[str, Tensor]]:
    """Return pieces of Python's own documentation as tensors of byte numbers."""
    text = "\n".join(pydoc_data.topics.topics.values())[:60_000]
    tokens = torch.tensor([min(ord(character), 127) for character in text])
    return [{"input_ids": piece, "labels": piece} for piece in tokens.split(LENGTH)[:-1]]


def main(run: str, steps: int = 60) -> None:
    """Train for some steps under the name `run`, and save the result as the trainer does."""
    cockpit = CockpitCallback(run)
    smoothing = cockpit.knob("smoothing", 0.05, low=0.0, high=0.5)  # `set-knob smoothing 0.2` while it trains

    def loss(outputs: ModelOutput, labels: Tensor, num_items_in_batch: Tensor | None = None) -> Tensor:
        logits = outputs.logits[:, :-1].flatten(0, 1)
        return F.cross_entropy(logits, labels[:, 1:].flatten(), label_smoothing=smoothing())

    data = chunks()
    trainer = Trainer(
        GPT2LMHeadModel(GPT2Config(vocab_size=128, n_positions=LENGTH, n_embd=64, n_layer=2, n_head=2)),
        TrainingArguments(
            f"{run}-output",
            max_steps=steps,
            per_device_train_batch_size=8,
            learning_rate=3e-3,
            lr_scheduler_type="cosine",
            eval_strategy="steps",
            eval_steps=20,
            save_steps=20,
            report_to=[],
        ),
        train_dataset=data[50:],
        eval_dataset=data[:50],
        compute_loss_func=loss,
        callbacks=[cockpit],
    )
    trainer.train()


if __name__ == "__main__":
    main(*sys.argv[1:2])
