"""Measure a batch of a validation in parts if memory is not enough for the whole: the sums are those of its samples."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from torch import nn

from engine.protocol.events import AlertRaised
from engine.runtime.outages.memory import OUT_OF_MEMORY, amount_asked, is_out_of_memory
from engine.training.data.batch import Batch
from engine.training.evaluate import Before, Sums, ValidationPlan, measure
from engine.training.loss_sum import Objective


class NoSampleFitsError(torch.OutOfMemoryError):
    """Raised if memory is not enough for one sample of a validation, in this process or on another `rank`."""

    def __init__(self, text: str, rank: int | None = None) -> None:
        super().__init__(text)
        self.rank = rank


class PartedMeasure:
    """Measures batches like `measure`, in parts of half as many samples whenever memory runs out.

    Parts stay as small in later batches and validations. `on_halved(before, after, text)` is called with the samples of
    a part and the error's text.
    """

    def __init__(self, on_halved: Callable[[int, int, str], None]) -> None:
        self._on_halved = on_halved
        self._most: int | None = None

    def __call__(
        self, objective: Objective, model: nn.Module, batch: Batch, plan: ValidationPlan, before: Before
    ) -> Sums:
        """Return the sums of one batch; see `measure`. Raises NoSampleFitsError."""
        sums = Sums.of(objective, plan)
        while sums.count < len(batch):
            part = batch.part(sums.count, len(batch) if self._most is None else self._most)
            found: Sums | None = None
            text = ""
            try:
                known = Before(before.num_samples + sums.count, [*before.errors, *sums.errors])
                found = measure(objective, model, part, plan, known)
            except Exception as error:  # libraries raise plain errors
                if not is_out_of_memory(error):
                    raise
                text = str(error)
            # The error is gone here, and with it the frames that hold the tensors of the part.
            if found is None:
                self._halve(len(part), text)
            else:
                sums.add(found)
        return sums

    def _halve(self, size: int, text: str) -> None:
        gc.collect()  # an error may be in a cycle with the frames that it passed
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        if size == 1:
            raise NoSampleFitsError(text)
        self._most = size // 2
        self._on_halved(size, self._most, text)


def alert_of(step: int, before: int, after: int, text: str, rank: int | None = None) -> AlertRaised:
    """Return the alert about a validation after `step` steps, of a process alone or of `rank`."""
    amount = amount_asked(text)
    asked = f" ({amount} asked)" if amount else ""
    where = "" if rank is None else f" on rank {rank}"
    return AlertRaised(
        OUT_OF_MEMORY,
        f"out of memory in the validation at step {step}{where}{asked}: {before} samples are measured in parts "
        f"of {after}; the scores are of all samples as before",
        f"free memory of the device, or set validation.batch_size={after} for later runs",
        at_step=step,
    )
