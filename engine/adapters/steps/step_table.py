"""Rows of many steps together: the same numbers as of single steps, computed by column."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.adapters.steps.step_reading import StepReading, number_of, with_total
from engine.journal.transaction import StepPoints
from engine.protocol.record import record
from engine.protocol.state import RunState
from engine.supervision.step_metrics import StepBlock

_NAMELESS: Final = ("",)
"""The names of the losses of a training that names none."""

Floats = NDArray[np.float64]


def in_tables(readings: Sequence[StepReading]) -> Iterator[Sequence[StepReading]]:
    """Yield the readings in order: those together that belong in one table, and the others one by one."""
    together: list[StepReading] = []
    was_plain = False
    for reading in readings:
        former, was_plain = was_plain, is_plain(reading)
        if together and not (former and was_plain and _are_alike(together[-1], reading)):
            yield together
            together = []
        together.append(reading)
    if together:
        yield together


def is_plain(reading: StepReading) -> bool:
    """Return whether the step counted, with one update whose numbers are on the host: tables hold such steps."""
    update = reading.update
    if len(update.norms) != 1 or update.finite is not None or update.is_skipped:
        return False
    squares = update.norms[0].squares
    return isinstance(squares, list) and bool(squares)


def _are_alike(one: StepReading, other: StepReading) -> bool:
    """Return whether two plain readings belong in one table."""
    ours, others = one.update.norms[0], other.update.norms[0]
    return (
        ours.part_of is others.part_of
        and one.terms is other.terms
        and (not one.samples) is (not other.samples)
        and len(ours.squares) == len(others.squares)
        and (one.weight_norms is other.weight_norms or [*one.weight_norms] == [*other.weight_norms])
        and (one.logged is other.logged or [*one.logged] == [*other.logged])
        and [*one.losses] == [*other.losses]
    )


@record
class StepTable:
    """Steps in a row with the same metrics: `values` is the array (steps, names)."""

    readings: Sequence[StepReading]
    index: dict[str, int]
    values: Floats

    def column(self, name: str) -> list[float]:
        """Return one metric of all steps."""
        return self.values[:, self.index[name]].tolist()

    def points(self, start: int, end: int) -> StepPoints:
        """Return the rows from `start` to before `end` for the journal."""
        readings = self.readings[start:end]
        return StepPoints(
            [reading.number for reading in readings],
            [reading.progress for reading in readings],
            [reading.time for reading in readings],
            tuple(self.index),
            self.values[start:end].astype(np.float32),
        )

    def block(self, state: RunState) -> StepBlock:
        """Return the steps for the monitors."""
        return StepBlock(
            [reading.number for reading in self.readings],
            self.index,
            self.values,
            np.array([reading.seconds for reading in self.readings]),
            state,
        )


def table_of(readings: Sequence[StepReading], *, knows_data: bool) -> StepTable:
    """Return the table of readings of the same shape."""
    first = readings[0]
    columns: dict[str, Floats] = {}
    rows = _array([_numbers(reading) for reading in readings])
    end = len(first.losses)
    _add_losses(columns, first, rows[:, :end])
    for place, name in enumerate(first.logged, end):
        columns[f"log/{name}"] = rows[:, place]
    end += len(first.logged)
    columns |= with_total("grad_norm", rows[:, end], _part_norms(first.update.norms[0].part_of, readings))
    for place, name in enumerate(first.weight_norms, end + 5):
        columns[f"weight_norm/{name}"] = rows[:, place]
    columns["lr"] = rows[:, end + 1]
    if first.samples:
        columns["samples_per_second"] = rows[:, end + 2] / rows[:, end + 3]
    if knows_data:
        columns["data_wait"] = rows[:, end + 4]
    columns["skipped"] = np.zeros(len(readings))
    return StepTable(
        readings, {name: place for place, name in enumerate(columns)}, np.stack([*columns.values()], axis=1)
    )


def _numbers(reading: StepReading) -> list[float | Tensor]:
    update = reading.update
    return [
        *reading.losses.values(),
        *reading.logged.values(),
        update.norms[0].total,
        update.lr,
        reading.samples,
        reading.seconds,
        reading.wait,
        *reading.weight_norms.values(),
    ]


def _add_losses(columns: dict[str, Floats], first: StepReading, raw: Floats) -> None:
    """Add the loss, and the weighted and the raw values of its terms."""
    names = tuple(first.losses)
    if names == _NAMELESS:
        columns["loss/total"] = raw[:, 0]
        return
    weighted = [raw[:, place] * first.terms.get(name, 1.0) for place, name in enumerate(names)]
    total = sum(weighted[1:], weighted[0]) if weighted else np.full(len(raw), math.nan)
    columns |= with_total("loss", total, {f"loss/{name}": term for name, term in zip(names, weighted, strict=True)})
    columns |= {f"loss_raw/{name}": raw[:, place] for place, name in enumerate(names)}


def _part_norms(part_of: Sequence[str], readings: Sequence[StepReading]) -> dict[str, Floats]:
    """Return the gradient norms of the parts."""
    squares = _array([list(reading.update.norms[0].squares) for reading in readings])
    parts, order, starts = _layout(tuple(part_of))
    norms = np.sqrt(np.add.reduceat(squares[:, order], starts, axis=1))
    return {f"grad_norm/{part}": norms[:, place] for place, part in enumerate(parts)}


@lru_cache(maxsize=8)
def _layout(part_of: tuple[str, ...]) -> tuple[Sequence[str], NDArray[np.intp], NDArray[np.intp]]:
    """Return the parts, an order of the parameters in which those of a part are neighbours, and where each begins."""
    parts = list(dict.fromkeys(part_of))
    numbers = np.array([parts.index(part) for part in part_of])
    order = np.argsort(numbers, kind="stable")
    return parts, order, np.searchsorted(numbers[order], np.arange(len(parts)))


def _array(rows: Sequence[Sequence[float | Tensor]]) -> Floats:
    """Return rows of numbers as an array."""
    numbers = list(chain.from_iterable(rows))
    if any(issubclass(kind, Tensor) for kind in set(map(type, numbers))):
        numbers = list(map(number_of, numbers))
    return np.array(numbers, np.float64).reshape(len(rows), -1)
