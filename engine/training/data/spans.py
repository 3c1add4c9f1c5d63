"""Choose the samples of each batch by position, and stack them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.errors import UserError
from engine.protocol.record import record
from engine.task import Sample, Samples, sample_id_at
from engine.training.data.batch import Batch, Position


@record
class Shard:
    """The part of rank `rank` of `world` ranks: a slice of each batch, or, with `by_batch`, every batch in turn."""

    rank: int
    world: int
    by_batch: bool = False

    def slice_of(self, start: int, stop: int) -> range:
        """Return this rank's part of the samples from `start` to `stop`. Parts differ by one sample at most.

        The parts of the first ranks are not the smaller ones, so rank 0 has a sample of each batch.
        """
        bounds = [start - (-rank * (stop - start) // self.world) for rank in (self.rank, self.rank + 1)]
        return range(*bounds)

    def has(self, span: Span, *, batch_size: int, length: int) -> bool:
        """Return whether the batch of `span` is this rank's turn."""
        per_epoch = -(-length // batch_size)
        return (span.epoch * per_epoch + span.start // batch_size) % self.world == self.rank


@record
class Span:
    """The samples `start` to `stop` (exclusive) of `epoch`; `ends_epoch` if they are its last.

    With a `shard`, only its part of them is assembled.
    """

    epoch: int
    start: int
    stop: int
    ends_epoch: bool
    shard: Shard | None = None

    @property
    def own(self) -> range:
        """The samples to assemble."""
        if self.shard is None or self.shard.by_batch:
            return range(self.start, self.stop)
        return self.shard.slice_of(self.start, self.stop)

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


def samples_at(samples: Samples, epoch: int, indices: Iterable[int]) -> list[Sample]:
    """Return the samples at `indices` of `epoch`. What is raised by one of them has a note that names it."""
    drawn: list[Sample] = []
    for index in indices:
        try:
            drawn.append(samples.sample(epoch, index))
        except Exception as error:
            error.add_note(f"in {sample_id_at(samples, epoch, index) or f'sample({epoch}, {index})'}")
            raise
    return drawn


def assemble(samples: Samples, span: Span) -> Batch:
    """Return the batch of a span, with all rejections."""
    drawn = samples_at(samples, span.epoch, span.own)
    return Batch(
        tensors=stacked(drawn),
        sample_ids=tuple(sample.sample_id for sample in drawn),
        after=span.after,
        ends_epoch=span.ends_epoch,
        rejections=tuple(rejection for sample in drawn for rejection in sample.rejections),
        others=span.stop - span.start - len(drawn),
    )


def stacked(samples: Sequence[Sample]) -> dict[str, Tensor]:
    """Return the tensors of samples, stacked along a new first axis; an empty dict for no samples.

    Raises UserError if a sample differs from the first in its tensors, their shapes or their types.
    """
    if not samples:
        return {}
    first = samples[0]
    for other in samples:
        if misfit := _misfit(first, other):
            raise UserError(f"samples {first.sample_id} and {other.sample_id} do not fit into one batch: {misfit}")
    return {name: _stack([sample.tensors[name] for sample in samples]) for name in first.tensors}


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
