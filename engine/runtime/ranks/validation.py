"""Validation divided over the ranks: each measures every n-th batch, and rank 0 adds up all in their order.

The batches are those of a validation on one rank, and so are their sums. The result has the same bits at any number of
ranks. Each rank makes previews of the worst samples of its own batches; rank 0 keeps the worst of all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

import torch

from engine.config.tree import RunConfig
from engine.outputs.preview_writer import PreviewWriter
from engine.runtime.ranks.leader import VALIDATE, LeaderState
from engine.runtime.ranks.rank_state import RankState
from engine.runtime.recorder import RunRecorder
from engine.runtime.validator import Validator
from engine.supervision.run_memory import RunMemory
from engine.task import DataGoneError
from engine.training.data.batch import Position
from engine.training.evaluate import Sums, Validation, ValidationPlan, measure, summarise

_ABORT: Final = 1
_GONE: Final = 2
"""Votes of a rank that has to stop, or cannot reach its data."""


class SharedValidator(Validator):
    """Validates like `Validator`, together with the other ranks."""

    def __init__(
        self,
        config: RunConfig,
        train_state: LeaderState,
        recorder: RunRecorder,
        memory: RunMemory,
        previews: PreviewWriter,
        should_stop: Callable[[], bool],
    ):
        super().__init__(config, train_state, recorder, memory, previews, should_stop)
        self._state = train_state

    def _measure(self, plan: ValidationPlan) -> Validation | None:
        self._state.leader.order(VALIDATE, remembered=sorted(plan.remembered))
        return validate_together(self._state, plan, self._should_abort)


def validate_together(
    state: RankState, plan: ValidationPlan, abort: Callable[[], bool] = lambda: False
) -> Validation | None:
    """Measure this rank's batches; return the validation of all in rank 0.

    Return `None` in other ranks, and if `abort()` returned True. Raises DataGoneError if a rank cannot reach its data.
    """
    started, group = time.perf_counter(), state.group
    objective, stream = state.train_step.objective, state.validation
    stream.reseat(Position(), plan.batch_size)
    num_batches = math.ceil(state.num_val / plan.batch_size)
    found: list[Sums] = []
    state.model.eval()
    try:
        with torch.no_grad(), state.train_step.average.in_use():
            for first in range(0, num_batches, group.world):
                number = first + group.rank
                vote, error = 0, ""
                if number < num_batches:
                    place, errors = number * plan.batch_size, [error for sums in found for error in sums.errors]
                    try:
                        if stream.wait(abort):
                            batch = stream.next().to(state.device)
                            found.append(measure(objective, state.model, batch, plan, place, errors))
                        else:
                            vote = _ABORT
                    except DataGoneError as gone:
                        vote, error = _GONE, str(gone)
                vote = group.most(max(vote, _ABORT if abort() else 0))
                if vote == _GONE:
                    raise DataGoneError(error or "another rank cannot reach its validation samples")
                if vote == _ABORT:
                    return None
    finally:
        state.model.train()
    parts = group.gather(found)
    if group.rank:
        return None
    return summarise(_in_order(parts, num_batches, state, plan), objective, plan, time.perf_counter() - started)


def _in_order(parts: Sequence[list[Sums]], num_batches: int, state: RankState, plan: ValidationPlan) -> Sums:
    """Return the sum of all batches, in the order of the split."""
    total = Sums.of(state.train_step.objective, plan)
    for number in range(num_batches):
        rank, own = number % len(parts), number // len(parts)
        total.add(parts[rank][own])
    return total
