"""Records behave as frozen dataclasses with slots, whose declaration costs more."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace
from inspect import signature
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocol.record import record

T = TypeVar("T")


@record
class Point:
    """A point."""

    x: float
    name: str = "here"
    tags: tuple[str, ...] = ()
    seen: list[int] = field(default_factory=list, compare=False, repr=False)


@record
class Nothing:
    """A record without fields."""


@record
class Base:
    a: int = 1


@record
class Sub(Base):
    b: int = 2
    total: int = field(init=False)
    kind: str = field(init=False, default="sub")
    made: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.a + self.b)


@record
class Box(Generic[T]):
    content: T


def _declare(declare: Callable[[type], type]) -> Any:
    class Pair:
        """A pair."""

        x: float
        y: str = "y"

    return declare(Pair)


VALUES = st.tuples(st.one_of(st.integers(), st.floats()), st.text())


@given(VALUES, VALUES)
def test_equality_hash_and_text_are_those_of_a_dataclass(one: tuple[float, str], two: tuple[float, str]) -> None:
    ours, theirs = _declare(record), _declare(dataclass(frozen=True, slots=True))
    assert (ours(*one) == ours(*two)) == (theirs(*one) == theirs(*two))
    assert ours(*one) == ours(*one) and hash(ours(*one)) == hash(ours(*one))
    assert repr(ours(*one)) == repr(theirs(*one))
    assert asdict(ours(*one)) == asdict(theirs(*one)) or one[0] != one[0]


def test_a_record_equals_none_of_another_class() -> None:
    assert Point(1) != Nothing() and Base(1) != Sub(1) and Nothing() == Nothing()
    assert Point(1, seen=[1]) == Point(1, seen=[2])
    assert repr(Point(1)) == "Point(x=1, name='here', tags=())"


def test_nothing_in_a_record_can_be_changed() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        point.other = 2  # type: ignore[attr-defined]
    assert not hasattr(point, "__dict__")


def test_the_tools_of_dataclasses_work() -> None:
    point = Point(1, tags=("a",))
    assert is_dataclass(point) and [part.name for part in fields(point)] == ["x", "name", "tags", "seen"]
    assert replace(point, name="there") == Point(1, "there", ("a",))
    assert asdict(point) == {"x": 1, "name": "here", "tags": ("a",), "seen": []}
    match point:
        case Point(x, name):
            assert (x, name) == (1, "here")


@pytest.mark.parametrize("value", [Point(1, seen=[3]), Nothing(), Sub(3), Box("x")], ids=repr)
def test_copies_and_pickles_are_equal(value: object) -> None:
    for same in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert same == value and type(same) is type(value) and repr(same) == repr(value)


def test_each_record_has_its_own_defaults() -> None:
    assert Point(1).seen is not Point(1).seen
    assert Point(1, seen=[5]).seen == [5]


def test_a_record_inherits_fields_and_completes_itself() -> None:
    sub = Sub(5)
    assert (sub.a, sub.b, sub.total, sub.kind, sub.made) == (5, 2, 7, "sub", {})
    assert sub.made is not Sub(5).made


def test_missing_and_unknown_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        Point(1, z=2)  # type: ignore[call-arg]


def test_records_with_fields_of_the_same_kinds_share_code_but_no_names() -> None:
    @record
    class Line:
        """As many fields as `Point`, of the same kinds."""

        length: float
        colour: str = "blue"
        marks: tuple[str, ...] = ("a",)
        ends: list[str] = field(default_factory=lambda: ["from", "to"])

    line = Line(length=2)
    assert (line.length, line.colour, line.marks, line.ends) == (2, "blue", ("a",), ["from", "to"])
    assert str(signature(Line)).startswith("(length, colour='blue', marks=('a',), ends=")
    assert Line.__init__.__code__.co_code == Point.__init__.__code__.co_code
    with pytest.raises(TypeError, match="'name'"):
        Line(1, name="x")  # type: ignore[call-arg]


def test_a_field_without_default_after_one_with_a_default_is_refused() -> None:
    class Wrong:
        """Wrong."""

        x: int = 1
        y: int

    with pytest.raises(TypeError, match=r"Wrong\.y: a field without default follows one with a default"):
        record(Wrong)


def test_a_field_by_keyword_only_is_refused() -> None:
    class Options:
        """Options."""

        x: int = field(default=1, kw_only=True)

    with pytest.raises(TypeError, match=r"Options\.x: a record takes no field by keyword only"):
        record(Options)


def test_methods_of_the_class_are_kept() -> None:
    @record
    class Odd:
        """Every instance equals every other."""

        x: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Odd)

        def __hash__(self) -> int:
            return 1

        def __repr__(self) -> str:
            return "odd"

    assert Odd(1) == Odd(2) and hash(Odd(1)) == 1 and repr(Odd(1)) == "odd"
