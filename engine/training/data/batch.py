"""A batch of samples, and its position in the data."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from engine.protocol.record import record
from engine.task import Rejection, Tensors


@record
class Position:
    """A position in the endless shuffled stream: `index` samples of `epoch` were already drawn."""

    epoch: int = 0
    index: int = 0


@dataclass(slots=True)
class Batch:
    """N samples: tensors by name, N the length of their first axis; `len` of a batch is N.

    Of a batch that is divided over ranks, N samples are here and `others` on the other ranks.
    """

    tensors: Tensors
    sample_ids: tuple[str, ...]
    after: Position
    ends_epoch: bool
    rejections: tuple[Rejection, ...] = ()
    wait_seconds: float = 0.0
    others: int = 0

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def total(self) -> int:
        """The number of samples on all ranks."""
        return len(self) + self.others

    def part(self, first: int, most: int) -> Batch:
        """Return at most `most` of the samples from number `first` on (from 0)."""
        if first == 0 and most >= len(self):
            return self
        chosen = slice(first, first + most)
        tensors = {name: tensor[chosen] for name, tensor in self.tensors.items()}
        return dataclasses.replace(self, tensors=tensors, sample_ids=self.sample_ids[chosen])

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on `device`. On CUDA the host does not wait for the copies."""
        if device.type == "cpu":
            return self
        held = {name: tensor.pin_memory() if device.type == "cuda" else tensor for name, tensor in self.tensors.items()}
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in held.items()}
        return dataclasses.replace(self, tensors=moved)
