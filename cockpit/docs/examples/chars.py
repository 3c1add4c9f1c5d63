"""Predict the next character of a text with a small transformer; its score, the perplexity, is better when lower.

training-cockpit --task chars.py:Chars --data FOLDER

FOLDER holds text files; without --data it learns the documentation that comes with the program.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from engine.config.tree import NetworkConfig, RunConfig, TrainingConfig
from engine.errors import UserError
from engine.protocol.task_spec import Metric, TaskSpec, Term
from engine.task import Splits, Tap, Tensors
from engine.training.data.from_dataset import from_dataset

ASCII = 128


class ModelConfig(NetworkConfig, frozen=True):
    width: int = 64
    """Features of each character."""
    depth: int = 2
    """Transformer blocks."""
    context: int = 64
    """Characters that the network looks back on."""


class Config(RunConfig, frozen=True):
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig(learning_rate=2e-3, batch_size=16, epochs=10)


class Windows(Dataset[dict[str, Tensor]]):
    """Pieces of a text: each gives the characters of a window and those that follow them."""

    def __init__(self, text: str, context: int) -> None:
        self.codes = torch.tensor(list(text.encode("ascii", "replace")))
        self.context = context

    def __len__(self) -> int:
        return (len(self.codes) - 1) // self.context

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        window = self.codes[index * self.context : (index + 1) * self.context + 1]
        return {"text": window[:-1], "next": window[1:]}


class Transformer(nn.Module):
    def __init__(self, width: int, depth: int, context: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(ASCII, width)
        self.places = nn.Embedding(context, width)
        block = nn.TransformerEncoderLayer(width, 4, 4 * width, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(block, depth, enable_nested_tensor=False)
        self.predict = nn.Linear(width, ASCII)

    def forward(self, text: Tensor) -> Tensor:
        places = torch.arange(text.shape[1], device=text.device)
        mask = nn.Transformer.generate_square_subsequent_mask(text.shape[1], device=text.device)
        features = self.characters(text) + self.places(places)
        return self.predict(self.blocks(features, mask=mask, is_causal=True))


class Chars:
    Config = Config
    spec = TaskSpec(
        name="chars",
        terms=(Term("cross_entropy"),),
        metrics=(Metric("perplexity"), Metric("accuracy", low=0, high=1)),
        score="perplexity",
        lower_is_better=True,
        sample_noun="text",
    )

    def open_data(self, config: Config) -> Splits:
        folder, context = Path(config.data.path or Path(__file__).parents[1]), config.model.context
        files = sorted(path for path in folder.rglob("*") if path.suffix in (".txt", ".md", ".py"))
        text = "\n".join(path.read_text(encoding="utf-8") for path in files)
        if len(text) < 20 * context:
            raise UserError(f"{folder} holds {len(text)} characters of text, too few to train on")
        cut = int(0.9 * len(text))
        train = from_dataset(Windows(text[:cut], context), seed=config.training.seed, shuffle=True)
        return Splits(train, from_dataset(Windows(text[cut:], context)))

    def build_model(self, config: Config) -> Transformer:
        return Transformer(config.model.width, config.model.depth, config.model.context)

    def forward(self, model: Transformer, batch: Tensors, active: frozenset[str], tap: Tap) -> Tensor:
        return model(batch["text"])

    def losses(
        self, outputs: Tensor, batch: Tensors, terms: tuple[str, ...], config: Config, tap: Tap
    ) -> dict[str, Tensor]:
        return {"cross_entropy": F.cross_entropy(outputs.float().flatten(0, 1), batch["next"].flatten())}

    def score(self, outputs: Tensor, batch: Tensors, config: Config) -> Tensors:
        logits, following = outputs.float().flatten(0, 1), batch["next"].flatten()
        surprise = F.cross_entropy(logits, following, reduction="sum")
        right = (logits.argmax(1) == following).sum()
        return {"surprise": surprise.double(), "right": right, "characters": torch.tensor(len(following))}

    def metrics(self, sums: Tensors, count: int) -> dict[str, float]:
        characters = float(sums["characters"])
        perplexity = (sums["surprise"] / characters).exp()
        return {"perplexity": float(perplexity), "accuracy": float(sums["right"]) / characters}
