"""Live values of a foreign training that can be set from the screen."""

from __future__ import annotations

import math
import reprlib
from typing import Any, Generic, TypeVar, cast

import numpy as np
from torch import Tensor

from engine.adapters.run.attached_run import AttachedRun
from engine.adapters.run.batches import is_number
from engine.errors import UserError
from engine.protocol import events as e
from engine.protocol.state import Knob

KnobValue = float | int | bool | str
Value = TypeVar("Value", bool, int, float, str)
"""The type of a knob, which every value that is set has too."""


class KnobHandle(Generic[Value]):
    """A live value of `run`; call it to read it. Reading costs a fraction of a microsecond.

    `run` is `None` until a trainer begins, and in its other processes; `value` is then in force.
    """

    def __init__(self, name: str, value: Value, run: AttachedRun | None) -> None:
        self.name = name
        self.value: KnobValue = _plain(value)
        self.run = run

    def __call__(self) -> Value:
        """Return the value in force."""
        knob = None if self.run is None else self.run.recorder.state.knobs.get(self.name)
        return cast(Value, self.value if knob is None else knob.value)

    def declare(self, low: float | None, high: float | None, choices: tuple[str, ...]) -> None:
        """Record the knob with its bounds. A resumed run keeps its value if the bounds allow it.

        Raises UserError if the bounds contradict each other or the value.
        """
        low, high = _plain(low), _plain(high)
        if reason := _mistake(self.value, low, high, choices):
            raise UserError(f"the knob {self.name!r}: {reason}")
        if self.run is None:
            return
        known = self.run.recorder.state.knobs.get(self.name)
        value = self.value
        if known is not None and Knob(value, low, high, choices).accepts(known.value):
            value = known.value
        if not self.run.is_over:
            self.run.record(e.KnobDeclared(self.name, value, low, high, choices))


def _plain(value: Any) -> Any:
    """Return a number of NumPy or torch as Python's, which the journal can hold, and any other value unchanged."""
    is_single = isinstance(value, np.generic) or (isinstance(value, Tensor) and value.numel() == 1)
    return value.item() if is_single else value


def _is_real(value: object) -> bool:
    """Return whether `value` is a number that a float can hold."""
    return isinstance(value, int | float) and is_number(value)


def _not_one_of(choices: tuple[str, ...], value: str) -> str:
    named = ", ".join(map(str, choices))
    return "" if value in choices else f"{value!r} is not one of {named or 'its choices: name them'}"


def _mistake(value: KnobValue, low: float | None, high: float | None, choices: tuple[str, ...]) -> str:
    """Return why bounds and value contradict each other; an empty string if they do not."""
    if isinstance(value, str):
        return _not_one_of(choices, value) if low is None and high is None else "a text has choices, not low and high"
    if not _is_real(value):
        return f"its value has to be a number, True or False, or a text: not {reprlib.repr(value)}"
    if not all(bound is None or _is_real(bound) for bound in (low, high)):
        return "low and high have to be numbers"
    if choices:
        return "choices are for a text"
    if isinstance(value, bool):
        return "a toggle has no low and high" if low is not None or high is not None else ""
    if not math.isfinite(value):
        return f"{value} is not a finite number"
    if low is not None and high is not None and low > high:
        return f"low {low:g} is above high {high:g}"
    if (low is not None and value < low) or (high is not None and value > high):
        return f"{value:g} is outside {'' if low is None else f'{low:g}'}..{'' if high is None else f'{high:g}'}"
    return ""
