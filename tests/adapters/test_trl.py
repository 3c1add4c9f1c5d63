"""Trainers of TRL are Hugging Face trainers: the same callback records and steers them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.protocol import commands as c
from engine.protocol import events as e

LETTERS = "abcdefghijklmnopqrstuvwxyz"
REWARD = "log/reward"


def tokenizer() -> Any:
    """Return a tokenizer whose words are single letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<pad>", "<eos>", *LETTERS])}
    made = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", padding_side="left")


def model() -> Any:
    """Return a small network from its configuration: nothing is downloaded."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    size = {"n_positions": 32, "n_embd": 16, "n_layer": 1, "n_head": 2}
    return GPT2LMHeadModel(GPT2Config(vocab_size=28, bos_token_id=1, eos_token_id=1, pad_token_id=0, **size))


def trainer(kind: str, folder: Path, callbacks: list[Any]) -> Any:
    """Return a trainer for supervised fine-tuning, or for reinforcement learning with a trivial reward."""
    import trl
    from datasets import Dataset

    usual = {"output_dir": str(folder / "out"), "report_to": [], "save_strategy": "no", "use_cpu": True, "bf16": False}
    usual |= {"max_steps": 8, "learning_rate": 1e-2, "lr_scheduler_type": "constant", "logging_steps": 1}
    usual |= {"disable_tqdm": True, "per_device_train_batch_size": 2}
    given: dict[str, Any] = {"processing_class": tokenizer(), "callbacks": callbacks}
    if kind == "SFT":
        text = Dataset.from_dict({"text": ["a b c d", "d e f g"] * 8})
        return trl.SFTTrainer(model(), args=trl.SFTConfig(**usual, max_length=8), train_dataset=text, **given)
    prompts = Dataset.from_dict({"prompt": ["a b", "d e"] * 8})
    args = trl.GRPOConfig(**usual, num_generations=2, max_completion_length=3)
    return trl.GRPOTrainer(model(), reward_funcs=count_a, args=args, train_dataset=prompts, **given)


def count_a(completions: list[str], **_: Any) -> list[float]:
    return [float(text.count("a")) + 0.1 * len(text) for text in completions]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kind", "logged"), [("SFT", "log/entropy"), ("GRPO", REWARD)])
def test_a_trainer_of_trl_is_recorded_and_steered(tmp_path: Path, kind: str, logged: str) -> None:
    pytest.importorskip("trl", reason="trl is not installed")
    from tests.adapters import hf_trainer as hf

    class Poison(hf.TrainerCallback):
        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                next(kwargs["model"].parameters()).grad.view(-1)[0] = float("nan")

    callback, rates = hf.cockpit(tmp_path), hf.Rates()
    halve, stop = hf.At(4, callback, c.ScaleLr(0.5)), hf.At(6, callback, c.Stop())
    made = trainer(kind, tmp_path, [halve, stop, callback, rates, Poison()])
    made.train()
    assert made.state.global_step == 6, "a stop ends it"
    assert rates.used == [1e-2] * 4 + [5e-3] * 2 and set(rates.scheduled) == {1e-2}
    assert all(bool(parameter.isfinite().all()) for parameter in made.model.parameters())
    (skipped,) = hf.events_of(tmp_path, e.StepSkipped)
    assert skipped.modules == ("transformer.wte.weight",)
    found = hf.series_of(tmp_path, ("loss/total", logged))
    assert found.steps.tolist() == [1, 2, 3, 4, 5, 6]
    assert all(map(math.isfinite, found.values["loss/total"].tolist()))
    assert hf.events_of(tmp_path, e.RunFinished)[-1].reason == "stopped"
