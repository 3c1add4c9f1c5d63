"""Bring the numbers of many steps from a device to the host together: each transfer alone would take longer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from engine.adapters.hooks.update import Update
from engine.adapters.steps.step_reading import StepReading


def bring_to_host(readings: Iterable[StepReading]) -> None:
    """Replace what is still on a device in `readings` by numbers on the host, verdicts too. Waits for the device."""
    late = [reading for reading in readings if _is_late(reading)]
    if not late:
        return
    tensors = [tensor for reading in late for tensor in _tensors_of(reading)]
    read = _values_of(tensors)
    for reading in late:
        _settle(reading, read)


def _is_late(reading: StepReading) -> bool:
    """Return whether a number of the step may be on a device."""
    if reading.update.finite is not None:
        return True
    numbers = (*reading.losses.values(), *reading.update.losses, *reading.logged.values())
    return Tensor in map(type, numbers) and any(map(_is_on_device, numbers))


def _is_on_device(value: object) -> bool:
    return isinstance(value, Tensor) and not value.is_cpu and value.numel() == 1 and value.is_floating_point()


def _tensors_of(reading: StepReading) -> list[Tensor]:
    update = reading.update
    found: list[float | Tensor] = [*reading.losses.values(), *update.losses, *reading.logged.values()]
    numbers = [value for value in found if isinstance(value, Tensor) and _is_on_device(value)]
    numbers += [norms.late for norms in update.norms if norms.late is not None]
    return numbers if update.finite is None else [*numbers, update.finite]


def _values_of(tensors: Sequence[Tensor]) -> dict[int, list[float]]:
    """Return the values of each tensor by its id; those of one device are read by one transfer."""
    values: dict[int, list[float]] = {}
    for device in dict.fromkeys(tensor.device for tensor in tensors):
        here = [tensor.detach().reshape(-1) for tensor in tensors if tensor.device == device]
        numbers: list[float] = torch.cat(here).tolist()
        start = 0
        for tensor in (tensor for tensor in tensors if tensor.device == device):
            values[id(tensor)] = numbers[start : start + tensor.numel()]
            start += tensor.numel()
    return values


def _settle(reading: StepReading, values: Mapping[int, list[float]]) -> None:
    """Replace the tensors of one step by their `values`, by id."""

    def read(value: float | Tensor) -> float | Tensor:
        return values[id(value)][0] if _is_on_device(value) else value

    update = reading.update
    reading.losses = {name: read(value) for name, value in reading.losses.items()}
    if reading.logged:
        reading.logged = {name: read(value) for name, value in reading.logged.items()}
    update.losses = [read(value) for value in update.losses]
    update.norms = tuple(
        norms if norms.late is None else norms.arrived(values[id(norms.late)]) for norms in update.norms
    )
    if update.finite is not None:
        counts, update.finite = bool(values[id(update.finite)][0]), None
        if not counts:
            _note_skip(update)


def _note_skip(update: Update) -> None:
    """Note why an update did not count: parts of the network, a loss, or else another process."""
    bad = [
        part
        for norms in update.norms
        for part, square in zip(norms.part_of, norms.squares, strict=True)
        if not math.isfinite(square)
    ]
    update.bad = tuple(dict.fromkeys(bad))
    if not bad:
        numbers = [*(norms.total for norms in update.norms), *map(float, update.losses)]
        is_bad_here = not all(map(math.isfinite, numbers))
        update.is_loss_bad, update.is_bad_elsewhere = is_bad_here, not is_bad_here
