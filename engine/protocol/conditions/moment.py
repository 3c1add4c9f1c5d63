"""The quantities of a run by their names, and their values at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias

from engine.protocol.record import record
from engine.protocol.state import RunState

Value: TypeAlias = float | str | None
"""The value of a quantity: a number, the word of an activity, or `None` before the first measurement."""
STATE_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "step": "step",
        "epoch": "epoch",
        "phase": "phase",
        "loss": "loss",
        "grad_norm": "grad_norm",
        "lr": "lr",
        "score": "score",
        "best": "best_score",
        "nan": "skipped_steps",
        "alerts": "alerts",
        "spikes": "spikes",
        "activity": "activity",
    }
)
"""The names of a run's own quantities in a condition, each with its field of the state."""
_OF_ROW: Final[Mapping[str, str]] = MappingProxyType({"loss": "loss/total", "grad_norm": "grad_norm/total", "lr": "lr"})
"""The quantities that each step's row has too, with their metrics."""


@record
class Quantity:
    """A value of the run by its name; one in quotes (`is_metric`) is always a recorded metric."""

    name: str
    is_metric: bool = False

    def __str__(self) -> str:
        return f'"{self.name}"' if self.is_metric else self.name


class Moment(Protocol):
    """A run at one moment, as a condition sees it."""

    def value(self, quantity: Quantity) -> Value:
        """Return the value of `quantity`; `None` if it is not known."""
        ...


@record
class RunMoment:
    """A run at one moment: its state, and the newest value of each metric.

    With `step`, `metrics` holds the row of that step: step, loss, gradient norm and learning rate are those of the row.
    """

    state: RunState
    metrics: Mapping[str, float]
    step: int | None = None

    def value(self, quantity: Quantity) -> Value:
        """Return the value of `quantity`; `None` if it was not recorded yet."""
        name = quantity.name
        if quantity.is_metric or name not in STATE_NAMES:
            return self.metrics.get(name)
        if self.step is not None and name == "step":
            return self.step
        if self.step is not None and (metric := _OF_ROW.get(name)) is not None and metric in self.metrics:
            return self.metrics[metric]
        held: Value = getattr(self.state, STATE_NAMES[name])
        return held


def value_text(value: Value) -> str:
    """Return a value for people; 'not recorded' for `None`."""
    if value is None:
        return "not recorded"
    return str(value) if isinstance(value, str) else f"{value:.6g}"
