"""JSON that programs of other languages can read, and errors that name the field."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import pytest

from engine.protocol.codec import WireError, from_json, from_text, to_json, to_text


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Point:
    x: float


@dataclass(frozen=True, slots=True)
class Everything:
    whole: int
    real: float
    flag: bool
    text: str
    colour: Colour
    point: Point
    maybe: float | None = None
    names: tuple[str, ...] = ()
    points: tuple[Point, ...] = ()
    kinds: frozenset[str] = frozenset()
    held: Mapping[str, int] = field(default_factory=lambda: {})
    other: Mapping[str, object] = field(default_factory=lambda: {})


VALUE = Everything(
    whole=3,
    real=0.1,
    flag=True,
    text="a\nb\x1b",
    colour=Colour.RED,
    point=Point(1.5),
    maybe=2.0,
    names=("b", "a"),
    points=(Point(1.0), Point(-0.0)),
    kinds=frozenset({"z", "a"}),
    held={"k": 1},
    other={"k": [1, None, "x"]},
)
PLAIN: dict[str, Any] = {"whole": 3, "real": 0.1, "flag": True, "text": "t", "colour": "red", "point": {"x": 1}}


def test_a_value_survives_the_way_out_and_back() -> None:
    assert from_json(Everything, from_text(to_text(VALUE))) == VALUE


def test_the_text_is_strict_ascii_json_on_one_line() -> None:
    text = to_text(VALUE)
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text)["kinds"] == ["a", "z"]


@pytest.mark.parametrize(("value", "word"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")])
def test_numbers_that_json_lacks_become_words_and_numbers_again(value: float, word: str) -> None:
    assert to_json(Point(value)) == {"x": word}
    assert repr(from_json(Point, {"x": word}).x) == repr(value)


def test_unknown_keys_are_ignored_and_missing_ones_take_their_default() -> None:
    value = from_json(Everything, {**PLAIN, "later": 1})
    assert (value.maybe, value.names, value.held) == (None, (), {})


def test_a_whole_number_serves_as_a_float() -> None:
    assert isinstance(from_json(Point, {"x": 2}).x, float)


def test_a_mapping_read_back_cannot_be_written_to() -> None:
    with pytest.raises(TypeError):
        from_json(Everything, {**PLAIN, "held": {"a": 1}}).held["a"] = 2  # pyright: ignore[reportIndexIssue]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"whole": 1.5}, "Everything.whole must be a whole number"),
        ({"whole": True}, "Everything.whole must be a whole number"),
        ({"real": "fast"}, "Everything.real must be a number"),
        ({"real": False}, "Everything.real must be a number"),
        ({"real": None}, "Everything.real must be a number"),
        ({"real": 10**400}, "Everything.real is too large"),
        ({"flag": 1}, "Everything.flag must be true or false"),
        ({"text": 7}, "Everything.text must be a text"),
        ({"colour": "blue"}, "Everything.colour cannot be 'blue'"),
        ({"colour": []}, "Everything.colour cannot be"),
        ({"point": 3}, "Point must be an object"),
        ({"point": {}}, "Point.x is missing"),
        ({"names": "abc"}, "Everything.names cannot be 'abc'"),
        ({"names": [1]}, "Everything.names must be a text"),
        ({"kinds": {"a": 1}}, "Everything.kinds cannot be"),
        ({"held": {"a": "b"}}, "Everything.held must be a whole number"),
        ({"held": [1]}, "Everything.held cannot be"),
        ({"maybe": "x"}, "Everything.maybe must be a number"),
    ],
)
def test_a_value_of_another_type_is_named(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(WireError, match=complaint):
        from_json(Everything, {**PLAIN, **change})


@pytest.mark.parametrize("text", ["", "{", "nan nan", "[" * 100_000])
def test_text_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(WireError, match="not JSON"):
        from_text(text)


@pytest.mark.parametrize("value", [object(), np.float32(1.0), {1.0, 2.0}, b"bytes"])
def test_what_has_no_word_is_a_fault_of_the_program(value: object) -> None:
    with pytest.raises(TypeError, match="cannot go on the wire"):
        to_json(value)
