"""Convert the segmentation forms of annotation tools to COCO's two: lists of numbers and run lengths."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from engine.tasks.person.data.readers.coco.values import as_integer, as_number

BYTES_TEXT: Final = re.compile(r"""b(['"]).*\1""", re.DOTALL)
"""The text that Python prints for a bytes object."""

_NUMBER_LIST: Final = re.compile(r"\[?\s*\d+(\.0*)?([,\s]+\d+(\.0*)?)+\s*\]?", re.ASCII)


def unquote(segmentation: object) -> object:
    """Return the JSON value in a text; return other values unchanged."""
    if not isinstance(segmentation, str) or segmentation.lstrip()[:1] not in ("[", "{"):
        return segmentation
    try:
        return json.loads(segmentation)
    except (ValueError, RecursionError):
        return segmentation


def run_length_parts(segmentation: object) -> list[Mapping[str, object]] | None:
    """Return the run-length objects of a segmentation, one or a list; `None` for any other form."""
    parts = cast(list[object], segmentation if isinstance(segmentation, list) else [segmentation])
    if not parts or not all(isinstance(part, dict) and "counts" in part for part in parts):
        return None
    return cast(list[Mapping[str, object]], parts)


def polygon_lists(segmentation: Sequence[object]) -> list[list[float]]:
    """Return the polygons as flat lists of numbers.

    The input is nested or flat, of numbers, pairs or {x, y}, also as text. An unreadable polygon becomes an empty list.
    """
    if is_points(segmentation) or as_number(segmentation[0]) is not None:
        return [_flatten(segmentation)]
    return [_flatten(cast(list[object], part)) if isinstance(part, list) else [] for part in segmentation]


def is_points(part: Sequence[object]) -> bool:
    """Return whether a list is one polygon of at least three points, not a list of numbers or polygons."""
    return len(part) >= 3 and all(_pair(point) is not None for point in part)


def read_counts(counts: object) -> list[int] | bytes | None:
    """Return run lengths as integers, or as COCO's compressed text; `None` if they are neither."""
    if isinstance(counts, list):
        runs = [as_integer(run) for run in cast(list[object], counts)]
        return cast(list[int], runs) if None not in runs else None
    if not isinstance(counts, str):
        return None
    if BYTES_TEXT.fullmatch(counts.strip()):
        counts = counts.strip()[2:-1].replace("\\\\", "\\")
    if _NUMBER_LIST.fullmatch(counts.strip()):
        return read_counts(re.split(r"[,\s]+", counts.strip(" \t\r\n[]")))
    return counts.encode("ascii", "replace")


def _flatten(part: Sequence[object]) -> list[float]:
    """Return the numbers of one polygon; an empty list if an item is not a number."""
    while len(part) == 1 and isinstance(part[0], list):
        part = cast(list[object], part[0])
    points = [_pair(point) for point in part]
    if part and None not in points:
        return [number for point in points for number in cast(tuple[float, float], point)]
    numbers = [as_number(number) for number in part]
    return cast(list[float], numbers) if None not in numbers else []


def _pair(point: object) -> tuple[float, float] | None:
    """Return x and y of a point written as [x, y] or {"x": x, "y": y}, or `None`."""
    if isinstance(point, dict):
        fields = cast(dict[str, Any], point)
        point = [fields.get("x"), fields.get("y")]
    values = cast(list[object], point) if isinstance(point, list) else []
    if len(values) != 2:
        return None
    x, y = as_number(values[0]), as_number(values[1])
    return (x, y) if x is not None and y is not None else None
