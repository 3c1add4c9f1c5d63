"""The parts of a condition: comparisons, and their combinations."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from engine.protocol.conditions.moment import Moment, Quantity
from engine.protocol.record import record

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
