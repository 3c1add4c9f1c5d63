"""Halve the batch of all ranks if memory runs out in the step of one of them, which all undo and repeat."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from engine.protocol.record import record
from engine.runtime.outages.halving import BatchHalver
from engine.runtime.outages.memory import is_out_of_memory
from engine.runtime.ranks.exchange import StepExchange
from engine.training.step import TrainStep

T = TypeVar("T")


@record
class Shortage:
    """The part of a step in which memory ran out, such as 'in backward on rank 1', and the error's text."""

    part: str
    text: str


def attempt_step(train_step: TrainStep, exchange: StepExchange, rank: int, work: Callable[[], T]) -> T | Shortage:
    """Return the result of `work`, a step of this rank, or how memory ran out in it; its gradients are freed then.

    Raises the error of an update: the other ranks have done theirs.
    """
    try:
        return work()
    except Exception as error:  # libraries raise plain errors
        if not is_out_of_memory(error) or exchange.is_done or not train_step.part:
            raise
        shortage = Shortage(f"in {train_step.part} on rank {rank}", str(error))
    # The error is gone here, and with it the frames that hold the tensors of the step.
    gc.collect()
    train_step.model.zero_grad(set_to_none=True)
    if train_step.device.type == "cuda":
        torch.cuda.empty_cache()
    return shortage


class SharedHalver(BatchHalver):
    """Halves the batch of all ranks, as rank 0, after all have undone a step.

    `shortage` is set if memory ran out in the step of rank 0, in which it then has no part.
    """

    shortage: Shortage | None = None

    def attempt(self, work: Callable[[], T]) -> T | None:
        """Return the result of `work`; `None` if memory ran out, for which `shortage` is set.

        Memory that runs out while data are prepared, or in an update, ends the run.
        """
        self.shortage = None
        train_step = self._train_state.train_step
        exchange = train_step.ranks
        assert isinstance(exchange, StepExchange)
        result = attempt_step(train_step, exchange, 0, work)
        if not isinstance(result, Shortage):
            return result
        self.shortage = result
        return None

    def halve(self, shortage: Shortage) -> None:
        """Propose a smaller batch for all ranks. Raises OutOfMemoryError if none is possible."""
        smaller = self._smaller()
        if smaller is None:
            raise torch.OutOfMemoryError(shortage.text)
        self._propose(smaller, self._announce(smaller, shortage.part, shortage.text))
