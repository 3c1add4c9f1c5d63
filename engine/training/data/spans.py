"""Choose the samples of each batch by position, and stack them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.errors import UserError
from engine.task import Sample, Samples
from engine.training.data.batch import Batch, Position


@dataclass(frozen=True, slots=True)
class Span:
    """The samples `start` to `stop` (exclusive) of `epoch`; `ends_epoch` if they are its last."""

    epoch: int
    start: int
    stop: int
    ends_epoch: bool

    @property
    def after(self) -> Position:
        """The position after these samples."""
        return Position(self.epoch + 1, 0) if self.ends_epoch else Position(self.epoch, self.stop)


def span_at(position: Position, *, batch_size: int, length: int) -> Span:
    """Return the next batch of an endless stream with `length` samples per epoch.

    The last batch of an epoch may be smaller. A position at or after the end of an epoch is the start of the next one.
    """
    epoch, start = (position.epoch, position.index) if position.index < length else (position.epoch + 1, 0)
    stop = min(start + batch_size, length)
    return Span(epoch, start, stop, ends_epoch=stop == length)


def assemble(samples: Samples, span: Span) -> Batch:
    """Return the batch of a span, with all rejections."""
    drawn = [samples.sample(span.epoch, index) for index in range(span.start, span.stop)]
    return Batch(
        tensors=stacked(drawn),
        sample_ids=tuple(sample.sample_id for sample in drawn),
        after=span.after,
        ends_epoch=span.ends_epoch,
        rejections=tuple(rejection for sample in drawn for rejection in sample.rejections),
    )


def stacked(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Return the tensors of one or more samples, stacked along a new first axis.

    Raises UserError if a sample differs from the first in its tensors, their shapes or their types.
    """
    first = samples[0]
    for other in samples:
        if misfit := _misfit(first, other):
            raise UserError(f"samples {first.sample_id} and {other.sample_id} do not fit into one batch: {misfit}")
    return {name: _stack([sample.tensors[name] for sample in samples]) for name in samples[0].tensors}


def _misfit(first: Sample, other: Sample) -> str:
    """Return how the tensors of two samples differ; an empty string if they do not."""
    if other.tensors.keys() != first.tensors.keys():
        return f"their tensors are {', '.join(first.tensors)} and {', '.join(other.tensors)}"
    for name, tensor in first.tensors.items():
        if other.tensors[name].shape != tensor.shape:
            return f"{name} is {_shape(tensor)} and {_shape(other.tensors[name])}"
        if other.tensors[name].dtype != tensor.dtype:
            return f"{name} is of {tensor.dtype} and of {other.tensors[name].dtype}"
    return ""


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"


def _stack(tensors: list[Tensor]) -> Tensor:
    """Stack tensors with NumPy in this thread: torch would start a second thread pool next to the training's."""
    return torch.from_numpy(np.stack([tensor.numpy() for tensor in tensors]))
