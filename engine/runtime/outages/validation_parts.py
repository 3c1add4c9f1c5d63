"""Measure a batch of a validation in parts if memory is not enough for the whole: the sums are those of its samples."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeVar

import torch
from torch import nn

from engine.protocol.events import AlertRaised
from engine.protocol.record import record
from engine.runtime.outages.memory import MEMORY_ERRORS, OUT_OF_MEMORY, asked, is_out_of_memory
from engine.training.data.batch import Batch
from engine.training.data.stream import BatchStream
from engine.training.loss_sum import Objective
from engine.training.validation.evaluate import Before, Sums, measure
from engine.training.validation.result import ValidationPlan

T = TypeVar("T")

_IN_READING: Final = ("while data were prepared for", "prepared", "lower data.num_workers")
_IN_MEASURING: Final = ("in", "measured", "free memory of the device")
"""When memory ran out, what is done in parts now, and the remedy."""


@record
class Halving:
    """Memory was not enough for `before` samples: for `after` from now on. `text` is the error's.

    `is_reading` is whether it ran out while the samples were prepared, before they were measured.
    """

    before: int
    after: int
    text: str
    is_reading: bool


class NoSampleFitsError(torch.OutOfMemoryError):
    """Raised if memory is not enough for one sample of a validation, in this process or on another `rank`.

    `is_reading` is whether it ran out while the sample was prepared.
    """

    def __init__(self, text: str, rank: int | None = None, *, is_reading: bool = False) -> None:
        super().__init__(text)
        self.rank, self.is_reading = rank, is_reading


class PartedMeasure:
    """Measures like `measure_next`, in parts of half as many samples whenever memory runs out.

    It may run out while samples are prepared, or while they are measured. Parts stay as small in later batches and
    validations. `on_halved` is called with each halving.
    """

    def __init__(self, on_halved: Callable[[Halving], None]) -> None:
        self._on_halved = on_halved
        self._most_read = self._most_measured = sys.maxsize

    def __call__(
        self, objective: Objective, model: nn.Module, stream: BatchStream, plan: ValidationPlan, before: Before
    ) -> tuple[Sums, bool]:
        """Return the sums of the next batch, and whether it is the last one; see `measure_next`.

        Raises NoSampleFitsError.
        """
        sums, is_last = Sums.of(objective, plan), False
        for batch in self._read(stream):
            first = 0
            while first < len(batch):
                part = batch.part(first, self._most_measured)
                known = Before(before.num_samples + sums.count, [*before.errors, *sums.errors])
                found = _attempt(partial(measure, objective, model, part, plan, known))
                if isinstance(found, Sums):
                    sums.add(found)
                    first += len(part)
                else:
                    self._most_measured = self._halved(len(part), found, is_reading=False)
            is_last = batch.ends_epoch
        return sums, is_last

    def _read(self, stream: BatchStream) -> Iterator[Batch]:
        """Yield the next batch, or its parts if memory runs out while it is prepared."""
        batch = _attempt(stream.next)
        if isinstance(batch, Batch):
            yield batch
            return
        size, first = stream.num_failed, 0
        if self._most_read >= size:
            self._most_read = self._halved(size, batch, is_reading=True)
        while first < size:
            most = min(self._most_read, size - first)
            part = _attempt(partial(stream.part_of_failed, first, most))
            if isinstance(part, Batch):
                yield part
                first += most
            else:
                self._most_read = self._halved(most, part, is_reading=True)

    def _halved(self, size: int, text: str, *, is_reading: bool) -> int:
        """Return half of `size`, after `on_halved`."""
        if size == 1:
            raise NoSampleFitsError(text, is_reading=is_reading)
        self._on_halved(Halving(size, size // 2, text, is_reading))
        return size // 2


def _attempt(work: Callable[[], T]) -> T | str:
    """Return the result of `work`, or the error's text if memory ran out."""
    try:
        return work()
    except MEMORY_ERRORS as error:
        if not is_out_of_memory(error):
            raise
        text = str(error)
    # The error is gone here, and with it the frames that hold the tensors of the part.
    gc.collect()  # an error may be in a cycle with the frames that it passed
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    return text


def alert_of(step: int, halving: Halving, rank: int | None = None) -> AlertRaised:
    """Return the alert about a validation after `step` steps, of a process alone or of `rank`."""
    where = "" if rank is None else f" on rank {rank}"
    moment, verb, remedy = _IN_READING if halving.is_reading else _IN_MEASURING
    return AlertRaised(
        OUT_OF_MEMORY,
        f"out of memory {moment} the validation at step {step}{where}{asked(halving.text)}: "
        f"{halving.before} samples are {verb} in parts of {halving.after}; the scores are of all samples as before",
        f"{remedy}, or set validation.batch_size={halving.after} for later runs",
        at_step=step,
    )
