"""Convert the segmentation forms of annotation tools to COCO's two: lists of numbers and run lengths."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from engine.tasks.person.data.readers.coco.values import as_integer, as_number

BYTES_TEXT: Final = re.compile(r"""(bytearray\()?b(['"])(?P<content>.*)\2\)?""", re.DOTALL)
"""The text that Python prints for a bytes object."""

_NUMBER_LIST: Final = re.compile(r"\[?\s*\d+(\.0*)?([,\s]+\d+(\.0*)?)+\s*\]?", re.ASCII)
_NUMBERS: Final = re.compile(r"[-+.\deE]+([,;\s]+[-+.\deE]+)+[,;\s]*", re.ASCII)
_SEPARATORS: Final = re.compile(r"[,;\s]+")
_PACKED: Final = range(48, 112)
"""Codes of the characters of compressed run lengths."""


def unquote(value: object) -> object:
    """Return the value in a text: JSON, a Python literal, or numbers; return other values and texts unchanged."""
    if not isinstance(value, str):
        return value
    if value.lstrip()[:1] in ("[", "{", "("):
        for read in (json.loads, _read_literal):
            try:
                return read(value)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    text = value.strip()
    return _SEPARATORS.split(text.strip(",;")) if _NUMBERS.fullmatch(text) else value


def is_python_text(segmentation: object) -> bool:
    """Return whether a segmentation is the text of a Python object, which JSON does not have."""
    if not isinstance(segmentation, str):
        return False
    try:
        json.loads(segmentation)
    except (ValueError, RecursionError):
        return isinstance(unquote(segmentation), dict | list) and segmentation.lstrip()[:1] in ("[", "{", "(")
    return False


def run_length_parts(segmentation: object) -> list[Mapping[str, object]] | None:
    """Return the run-length objects of a segmentation, one or a list; `None` for any other form."""
    parts = cast(list[object], segmentation if isinstance(segmentation, list) else [segmentation])
    if not parts or not all(isinstance(part, dict) and "counts" in part for part in parts):
        return None
    return cast(list[Mapping[str, object]], parts)


def polygon_lists(segmentation: Sequence[object]) -> list[list[float] | None]:
    """Return the polygons as flat lists of numbers.

    The input is nested or flat, of numbers, pairs or {x, y}, also as text. An unreadable polygon becomes `None`.
    """
    if is_points(segmentation) or as_number(segmentation[0]) is not None:
        return [_flatten(segmentation)]
    return [_flatten(cast(list[object], unquote(part))) if part else [] for part in segmentation]


def is_points(part: Sequence[object]) -> bool:
    """Return whether a list is one polygon of at least three points, not a list of numbers or polygons."""
    return len(part) >= 3 and all(_pair(point) is not None for point in part)


def count_forms(counts: object) -> Iterator[list[int] | bytes]:
    """Yield the possible meanings of counts, the likeliest first: run lengths, or COCO's compressed text of them.

    Only run lengths that add up to the image are right. A list may hold the codes of the text's characters, and a text
    may be in quotes, or have its back slashes doubled.
    """
    if isinstance(counts, bytes):
        counts = counts.decode("ascii", "replace")
    if isinstance(counts, list):
        runs = [as_integer(run) for run in cast(list[object], counts)]
        if None not in runs:
            yield cast(list[int], runs)
            if all(run in _PACKED for run in runs):
                yield bytes(cast(list[int], runs))
    elif isinstance(counts, str):
        yield from _text_forms(counts.strip())


def _text_forms(text: str) -> Iterator[list[int] | bytes]:
    if _NUMBER_LIST.fullmatch(text):
        yield from count_forms(re.split(r"[,\s]+", text.strip(" \t\r\n[]")))
        return
    printed = BYTES_TEXT.fullmatch(text)
    if printed:
        text = printed["content"]
        if _NUMBER_LIST.fullmatch(text.strip()):
            yield from _text_forms(text.strip())
            return
    as_written, single = text.strip("'\""), text.strip("'\"").replace("\\\\", "\\")
    for form in dict.fromkeys((single, as_written) if printed else (as_written, single)):
        yield form.encode("ascii", "replace")


def _read_literal(text: str) -> object:
    """Return the value of a Python literal, with lists for tuples and text for bytes. Raises what its parser raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _as_json(ast.literal_eval(text.strip()))


def _as_json(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in cast(dict[object, object], value).items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in cast(list[object], value)]
    return value.decode("ascii", "replace") if isinstance(value, bytes) else value


def _flatten(part: object) -> list[float] | None:
    """Return the numbers of one polygon; `None` if it is not a list of numbers or points."""
    items = cast(list[object], part) if isinstance(part, list) else [part]
    while len(items) == 1 and isinstance(items[0], list):
        items = cast(list[object], items[0])
    points = [_pair(point) for point in items]
    if items and None not in points:
        return [number for point in points for number in cast(tuple[float, float], point)]
    numbers = [as_number(number) for number in items]
    return None if None in numbers else cast(list[float], numbers)


def _pair(point: object) -> tuple[float, float] | None:
    """Return x and y of a point written as [x, y], [[x, y]] as OpenCV does, or {"x": x, "y": y}; else `None`."""
    if isinstance(point, dict):
        fields = cast(dict[str, Any], point)
        point = [fields.get("x"), fields.get("y")]
    values = cast(list[object], point) if isinstance(point, list) else []
    if len(values) == 1 and isinstance(values[0], list):
        values = cast(list[object], values[0])
    if len(values) != 2:
        return None
    x, y = as_number(values[0]), as_number(values[1])
    return (x, y) if x is not None and y is not None else None
