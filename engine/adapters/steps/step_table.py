"""Rows of many steps together: the same numbers as of single steps, computed by column."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.adapters.steps.step_reading import StepReading, number_of
from engine.journal.transaction import StepPoints
from engine.protocol.state import RunState
from engine.supervision.step_metrics import StepBlock

_NAMELESS: Final = ("",)
"""The names of the losses of a training that names none."""

Floats = NDArray[np.float64]


def in_tables(readings: Sequence[StepReading]) -> Iterator[Sequence[StepReading]]:
    """Yield the readings in order: those together that belong in one table, and the others one by one."""
    together: list[StepReading] = []
    shape: Hashable = None
    for reading in readings:
        found = shape_of(reading)
        if together and (found is None or found != shape):
            yield together
            together = []
        together.append(reading)
        shape = found
    if together:
        yield together


def shape_of(reading: StepReading) -> Hashable:
    """Return what the readings of one table have in common; `None` for one that belongs in no table.

    Tables hold steps that counted, with one update whose numbers are on the host.
    """
    update = reading.update
    if len(update.norms) != 1 or update.finite is not None or update.is_skipped:
        return None
    norms = update.norms[0]
    if not norms.squares or isinstance(norms.squares, Tensor):
        return None
    names = tuple(reading.losses), tuple(reading.logged), tuple(reading.weight_norms)
    return names, id(norms.part_of), len(norms.squares), id(reading.terms), not reading.samples


@dataclass(frozen=True, slots=True)
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
    rows = np.array([_numbers(reading) for reading in readings])
    end = len(first.losses)
    _add_losses(columns, first, rows[:, :end])
    for place, name in enumerate(first.logged, end):
        columns[f"log/{name}"] = rows[:, place]
    end += len(first.logged)
    columns["grad_norm/total"] = rows[:, end]
    columns |= _part_norms(first.update.norms[0].part_of, readings)
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


def _numbers(reading: StepReading) -> list[float]:
    update = reading.update
    return [
        *map(number_of, reading.losses.values()),
        *map(number_of, reading.logged.values()),
        update.grad_norm,
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
    columns["loss/total"] = sum(weighted[1:], weighted[0]) if weighted else np.full(len(raw), math.nan)
    columns |= {f"loss/{name}": values for name, values in zip(names, weighted, strict=True)}
    columns |= {f"loss_raw/{name}": raw[:, place] for place, name in enumerate(names)}


def _part_norms(part_of: Sequence[str], readings: Sequence[StepReading]) -> dict[str, Floats]:
    """Return the gradient norms of the parts."""
    squares = np.array([reading.update.norms[0].squares for reading in readings])
    places = {part: place for place, part in enumerate(dict.fromkeys(part_of))}
    numbers = np.array([places[part] for part in part_of])
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], np.arange(len(places)))
    norms = np.sqrt(np.add.reduceat(squares[:, order], starts, axis=1))
    return {f"grad_norm/{part}": norms[:, place] for part, place in places.items()}
