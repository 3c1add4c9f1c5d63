"""Conditions on a run, such as `phase>=2 or nan>0`: their truth at one moment, and the part that holds."""

from __future__ import annotations

from collections.abc import Mapping

from engine.protocol.conditions.moment import STATE_NAMES, Moment, Value, value_text
from engine.protocol.conditions.parts import Node
from engine.protocol.record import record


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
