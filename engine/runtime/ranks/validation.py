"""Validation divided over the ranks: each measures every n-th batch, and rank 0 adds up all in their order.

The batches are those of a validation on one rank, and so are their sums. The result has the same bits at any number of
ranks. Each rank makes previews of the worst samples of its own batches; rank 0 keeps the worst of all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

from engine.config.tree import RunConfig
from engine.outputs.inspection.preview_writer import PreviewWriter
from engine.runtime.outages.validation_parts import Halving, NoSampleFitsError, alert_of
from engine.runtime.ranks.leader import VALIDATE, LeaderState
from engine.runtime.ranks.rank_state import RankState
from engine.runtime.recorder import RunRecorder
from engine.runtime.validator import Validator
from engine.supervision.run_memory import RunMemory
from engine.task import DataGoneError
from engine.training.data.batch import Position
from engine.training.validation.evaluate import Before, Measure, Sums, summarise, validating
from engine.training.validation.result import Validation, ValidationPlan

_ABORT: Final = 1
_GONE: Final = 2
_SHORT: Final = 3
"""Votes of a rank that has to stop, cannot reach its data, or (with its number added) has no memory for a sample."""
_NO_ERROR: Final = ("", False)


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
        return validate_together(self._state, plan, self._measured_in_parts, self._should_abort)

    def _note_halved(self, halving: Halving) -> None:
        self._recorder.record_event(alert_of(self._recorder.state.step, halving, rank=0))


def validate_together(
    state: RankState, plan: ValidationPlan, measured: Measure, abort: Callable[[], bool] = lambda: False
) -> Validation | None:
    """Measure this rank's batches; return the validation of all in rank 0.

    Return `None` in other ranks, and if `abort()` returned True. Raises DataGoneError if a rank cannot reach its data,
    and NoSampleFitsError if the memory of one is too small for a sample.
    """
    started, group = time.perf_counter(), state.group
    state.validation.reseat(Position(), plan.batch_size)
    num_batches = math.ceil(state.num_val / plan.batch_size)
    found: list[Sums] = []
    with validating(state.model), state.train_step.average.in_use():
        rounds = (first * plan.batch_size for first in range(0, num_batches, group.world))
        if not all(_measure_round(state, plan, measured, abort, (found, place)) for place in rounds):
            return None
    parts = group.gather(found)
    if group.rank:
        return None
    total = _in_order(parts, num_batches, state, plan)
    return summarise(total, state.train_step.objective, plan, time.perf_counter() - started)


def _measure_round(
    state: RankState, plan: ValidationPlan, measured: Measure, abort: Callable[[], bool], into: tuple[list[Sums], int]
) -> bool:
    """Measure one batch of each rank, as far as there are any. Return False if a rank has to stop.

    `into` are the sums of this rank, and the place of the first sample of rank 0. Raises DataGoneError and
    NoSampleFitsError in all ranks.
    """
    (found, first), group = into, state.group
    place = first + group.rank * plan.batch_size
    vote, error = 0, _NO_ERROR
    if place < state.num_val:
        vote, error = _measure_next(state, plan, measured, abort, (found, place))
    vote = group.most(max(vote, _ABORT if abort() else 0))
    if vote >= _SHORT:
        text, is_reading = [*group.gather(error), _NO_ERROR][vote - _SHORT]
        raise NoSampleFitsError(text, vote - _SHORT, is_reading=is_reading)
    if vote == _GONE:
        raise DataGoneError(error[0] or "another rank cannot reach its validation samples")
    return vote != _ABORT


def _measure_next(
    state: RankState, plan: ValidationPlan, measured: Measure, abort: Callable[[], bool], into: tuple[list[Sums], int]
) -> tuple[int, tuple[str, bool]]:
    """Add the sums of this rank's next batch to those before it.

    Return its vote, the text of the error of which it tells, and whether data were prepared then. `into` are the sums,
    and the place of the batch's first sample in the split.
    """
    (found, place), stream = into, state.validation
    try:
        if not stream.wait(abort):
            return _ABORT, _NO_ERROR
        before = Before(place, [error for sums in found for error in sums.errors])
        found.append(measured(state.train_step.objective, state.model, stream, plan, before)[0])
    except DataGoneError as gone:
        return _GONE, (str(gone), True)
    except NoSampleFitsError as short:
        return _SHORT + state.group.rank, (str(short), short.is_reading)
    return 0, _NO_ERROR


def _in_order(parts: Sequence[list[Sums]], num_batches: int, state: RankState, plan: ValidationPlan) -> Sums:
    """Return the sum of all batches, in the order of the split."""
    total = Sums.of(state.train_step.objective, plan)
    for number in range(num_batches):
        rank, own = number % len(parts), number // len(parts)
        total.add(parts[rank][own])
    return total
