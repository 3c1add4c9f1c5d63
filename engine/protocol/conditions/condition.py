"""Conditions on a run, such as `phase>=2 or nan>0`: their parts, their truth at one moment, and the part that holds."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
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

OPERATORS: Final[Mapping[str, Callable[[float, float], bool]]] = MappingProxyType(
    {
        "<=": operator.le,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
        "<": operator.lt,
        ">": operator.gt,
    }
)
_TURNED: Final = {"<=": ">=", ">=": "<=", "==": "==", "!=": "!=", "<": ">", ">": "<"}
"""Each operator with the one for exchanged sides."""


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
        if self.step is not None:
            if name == "step":
                return self.step
            if (metric := _OF_ROW.get(name)) is not None and metric in self.metrics:
                return self.metrics[metric]
        held: Value = getattr(self.state, STATE_NAMES[name])
        return held


@record
class Comparison:
    """Two values and an operator; the left one is a quantity."""

    left: Quantity
    operator: str
    right: Quantity | float | str

    def holds(self, moment: Moment) -> bool | None:
        """Return whether it holds; `None` while a value is unknown."""
        left = moment.value(self.left)
        right = moment.value(self.right) if isinstance(self.right, Quantity) else self.right
        if left is None or right is None:
            return None
        if isinstance(left, str) or isinstance(right, str):
            return (left == right) == (self.operator == "==")
        return OPERATORS[self.operator](left, right)

    def held_part(self, moment: Moment) -> Node:
        """Return this comparison."""
        return self

    def quantities(self) -> Iterator[Quantity]:
        """Yield the quantities that it compares."""
        yield self.left
        if isinstance(self.right, Quantity):
            yield self.right

    def __str__(self) -> str:
        right = repr(self.right).removesuffix(".0") if isinstance(self.right, float) else str(self.right)
        return f"{self.left} {self.operator} {right}"


@record
class Negation:
    """The opposite of a part."""

    part: Node

    def holds(self, moment: Moment) -> bool | None:
        """Return whether it holds; `None` while the part is unknown."""
        found = self.part.holds(moment)
        return None if found is None else not found

    def held_part(self, moment: Moment) -> Node:
        """Return this negation."""
        return self

    def quantities(self) -> Iterator[Quantity]:
        """Yield the quantities of the part."""
        yield from self.part.quantities()

    def __str__(self) -> str:
        return f"not ({self.part})"


@record
class Both:
    """Several parts that must all hold."""

    parts: tuple[Node, ...]

    def holds(self, moment: Moment) -> bool | None:
        """Return whether all hold; `None` if none fails and one is unknown."""
        is_known = True
        for part in self.parts:
            found = part.holds(moment)
            if found is False:
                return False
            is_known = is_known and found is not None
        return True if is_known else None

    def held_part(self, moment: Moment) -> Node:
        """Return the held part of each."""
        return Both(tuple(part.held_part(moment) for part in self.parts))

    def quantities(self) -> Iterator[Quantity]:
        """Yield the quantities of all parts."""
        for part in self.parts:
            yield from part.quantities()

    def __str__(self) -> str:
        return " and ".join(f"({part})" if isinstance(part, Either) else str(part) for part in self.parts)


@record
class Either:
    """Several parts of which one must hold."""

    parts: tuple[Node, ...]

    def holds(self, moment: Moment) -> bool | None:
        """Return whether one holds; `None` if none does and one is unknown."""
        is_known = True
        for part in self.parts:
            found = part.holds(moment)
            if found:
                return True
            is_known = is_known and found is not None
        return False if is_known else None

    def held_part(self, moment: Moment) -> Node:
        """Return the held part of the first that holds; this if none does."""
        held = next((part for part in self.parts if part.holds(moment)), None)
        return self if held is None else held.held_part(moment)

    def quantities(self) -> Iterator[Quantity]:
        """Yield the quantities of all parts."""
        for part in self.parts:
            yield from part.quantities()

    def __str__(self) -> str:
        return " or ".join(map(str, self.parts))


Node: TypeAlias = Comparison | Negation | Both | Either
"""A part of a condition."""


def comparison_of(left: Quantity | float | str, sign: str, right: Quantity | float | str) -> Comparison:
    """Return a comparison with a quantity on its left, one of the two sides being one."""
    if isinstance(left, Quantity):
        return Comparison(left, sign, right)
    assert isinstance(right, Quantity), f"{left!r} {sign} {right!r} compares no quantity"
    return Comparison(right, _TURNED[sign], left)


@record
class Held:
    """The part of a condition that holds, as text, and the values of its quantities by name."""

    part: str
    values: Mapping[str, Value]

    @property
    def text(self) -> str:
        """The part with the values: 'phase >= 2 (phase 2)'."""
        return f"{self.part} ({', '.join(f'{name} {value_text(value)}' for name, value in self.values.items())})"


@record
class Condition:
    """A condition on a run, as `parse_condition` reads it.

    A comparison with a value that was not recorded yet is unknown, and so is what depends on it: it does not hold.
    """

    text: str
    root: Node

    def holds(self, moment: Moment) -> bool:
        """Return whether it is known to hold. Takes microseconds."""
        return self.root.holds(moment) is True

    def held(self, moment: Moment) -> Held:
        """Return the part that holds, with its values."""
        part = self.root.held_part(moment)
        return Held(str(part), {quantity.name: moment.value(quantity) for quantity in part.quantities()})

    def values(self, moment: Moment) -> dict[str, Value]:
        """Return the value of every quantity by its name."""
        return {quantity.name: moment.value(quantity) for quantity in self.root.quantities()}

    def metrics(self) -> tuple[str, ...]:
        """Return the names of recorded metrics in it, each once."""
        found = (q.name for q in self.root.quantities() if q.is_metric or q.name not in STATE_NAMES)
        return tuple(dict.fromkeys(found))


def value_text(value: Value) -> str:
    """Return a value for people; 'not recorded' for `None`."""
    if value is None:
        return "not recorded"
    return str(value) if isinstance(value, str) else f"{value:.6g}"
