"""Halve the batch of all ranks if memory runs out in the step of one of them, which all undo and repeat."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from engine.protocol.record import record
from engine.runtime.outages.halving import BatchHalver
from engine.runtime.outages.memory import MEMORY_ERRORS, is_out_of_memory
from engine.runtime.ranks.exchange import StepExchange
from engine.training.step import TrainStep
from engine.training.step_plan import StepPlan

T = TypeVar("T")


@record
class Shortage:
    """The part of a step in which memory ran out, such as 'in backward on rank 1', and the error's text.

    `is_late` is whether the step was added up before: the other ranks have done its update.
    """

    part: str
    text: str
    is_late: bool = False


def attempt_step(train_step: TrainStep, exchange: StepExchange, rank: int, work: Callable[[], T]) -> T | Shortage:
    """Return the result of `work`, a step of this rank, or how memory ran out in it; its gradients are freed then."""
    try:
        return work()
    except MEMORY_ERRORS as error:
        if not is_out_of_memory(error):
            raise
        shortage = shortage_of(error, train_step, exchange, rank)
    # The error is gone here, and with it the frames that hold the tensors of the step.
    gc.collect()
    train_step.model.zero_grad(set_to_none=True)
    if train_step.device.type == "cuda":
        torch.cuda.empty_cache()
    return shortage


def shortage_of(error: Exception, train_step: TrainStep, exchange: StepExchange, rank: int) -> Shortage:
    """Return how memory ran out in this rank's part of a step, or while its data were prepared."""
    doing = f"in {train_step.part}" if train_step.part else "while its data were prepared"
    is_late = exchange.is_done and not exchange.told.is_void
    return Shortage(f"{doing} on rank {rank}", str(error), is_late=is_late)


def void_step(train_step: TrainStep, exchange: StepExchange, rank: int, plan: StepPlan) -> None:
    """Have no part in a step of all ranks. Raises OutOfMemoryError if not even the exchange has the memory."""
    exchange.is_void = True
    done = attempt_step(train_step, exchange, rank, lambda: train_step.run([], plan))
    if isinstance(done, Shortage) and not exchange.is_done:
        raise torch.OutOfMemoryError(done.text)


class SharedHalver(BatchHalver):
    """Halves the batch of all ranks, as rank 0, after all have undone a step.

    `shortage` is set if memory ran out in rank 0, while its data were prepared or in its step.
    """

    shortage: Shortage | None = None

    def attempt(self, work: Callable[[], T]) -> T | None:
        """Return the result of `work`; `None` if memory ran out, for which `shortage` is set."""
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
        """Propose a smaller batch for all ranks, and let all go back to the last checkpoint if one has not updated.

        Raises OutOfMemoryError if no smaller batch is possible.
        """
        smaller = self._smaller()
        if smaller is None:
            raise torch.OutOfMemoryError(shortage.text)
        message = self._announce(smaller, shortage.part, shortage.text)
        if shortage.is_late:
            self._roll_back(shortage.text)
        self._propose(smaller, message)
