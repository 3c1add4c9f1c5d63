"""The numbers of one step of a foreign training, and what they say: losses, verdict, norms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeVar

from torch import Tensor

from engine.adapters.hooks.update import Update
from engine.protocol.record import record

V = TypeVar("V")

NOTHING: Final[Mapping[str, float]] = MappingProxyType({})
"""No numbers."""


@dataclass(slots=True)
class StepReading:
    """The numbers of one step, on the host or still on the device.

    `samples` is 0 if unknown. `time` is that of the end of the step, in seconds since 1970.
    """

    update: Update
    losses: Mapping[str, float | Tensor]
    seconds: float
    wait: float = 0.0
    samples: int = 0
    logged: Mapping[str, float | Tensor] = field(default_factory=lambda: NOTHING)
    weight_norms: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    terms: Mapping[str, float] = field(default_factory=lambda: NOTHING)
    number: int = 0
    progress: float = 0.0
    time: float = 0.0


@record
class Verdict:
    """Whether a step counted, what in it was not finite, and its gradient norm, NaN if it did not count.

    `is_bad_elsewhere` is whether another process's part in it was not finite.
    """

    is_finite: bool
    bad: tuple[str, ...]
    grad_norm: float
    is_bad_elsewhere: bool = False


def values_of(reading: StepReading) -> dict[str, float]:
    """Return the losses and logged numbers of a step on the host."""
    raw = {name: number_of(value) for name, value in reading.losses.items()}
    weights = reading.terms
    total = raw.pop("", None)
    if total is None:
        total = sum(value * weights.get(name, 1.0) for name, value in raw.items()) if raw else math.nan
    named = {f"loss/{name}": value * weights.get(name, 1.0) for name, value in raw.items()}
    return {
        **with_total("loss", total, named),
        **{f"loss_raw/{name}": value for name, value in raw.items()},
        **{f"log/{name}": number_of(value) for name, value in reading.logged.items()},
    }


def with_total(kind: str, total: V, named: Mapping[str, V]) -> dict[str, V]:
    """Return the total of a kind of metrics and the single ones, among which one of the name `total` is left out."""
    return {f"{kind}/total": total, **named, **{f"{kind}/total": total}}


def number_of(value: float | Tensor) -> float:
    """Return a number, read from its device if it is a tensor."""
    return float(value.detach()) if isinstance(value, Tensor) else float(value)


def verdict_of(reading: StepReading) -> Verdict:
    """Return the verdict on a step, whose numbers are on the host."""
    update = reading.update
    norm = math.nan if update.is_skipped else update.grad_norm
    return Verdict(not update.is_skipped, update.bad, norm, update.is_bad_elsewhere)
