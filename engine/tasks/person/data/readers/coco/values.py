"""Read numbers, flags and ids of COCO files, also from text or floats; `None` if the value is uncertain."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Iterable
from typing import Final

Id = int | float | str

MAX_SHOWN: Final = 60
"""Characters of a value that a message quotes."""

_MAX_DIGITS: Final = 400
_INTEGER: Final = re.compile(r"[+-]?\d{1,400}(\.0*)?", re.ASCII)
_FLAGS: Final = {
    **dict.fromkeys(("", "0", "0.0", "false", "no", "none", "null"), False),
    **dict.fromkeys(("1", "1.0", "true", "yes"), True),
}


def as_integer(value: object) -> int | None:
    """Return an integer from an int, a float without fraction, or the text of one; `None` for a boolean."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    text = value.strip() if isinstance(value, str) and len(value) <= _MAX_DIGITS else ""
    return int(text.partition(".")[0]) if _INTEGER.fullmatch(text) else None


def as_number(value: object) -> float | None:
    """Return a finite number from an int, a float, or the text of one; `None` for a boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def as_flag(value: object) -> bool | None:
    """Return a flag from a boolean, 0 or 1, or the text of either. A missing value is False."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str):
        return _FLAGS.get(value.strip().lower())
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def as_id(value: object) -> Id | None:
    """Return an id such that 1, 1.0 and '1' are equal. Other text stays text."""
    if type(value) is int:
        return value
    whole = as_integer(value)
    if whole is not None:
        return whole
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.strip() if isinstance(value, str) else None


def id_reader(ids: Iterable[object]) -> Callable[[object], Hashable]:
    """Return the function that makes ids comparable: `as_id`, or identity if only that keeps `ids` apart."""
    listed = list(ids)
    as_numbers = {as_id(value) for value in listed}
    as_written = {_written(value) for value in listed}
    return as_id if len(as_numbers) == len(as_written) else _written


def alike_ids(ids: Iterable[object]) -> tuple[object, object] | None:
    """Return two of the ids that differ only in their form, such as 1 and '1'; `None` if there are none."""
    first: dict[Id, object] = {}
    for value in ids:
        known = as_id(value)
        if known is not None and _written(first.setdefault(known, value)) != _written(value):
            return first[known], value
    return None


def shown(value: object) -> str:
    """Return a value for a message: printable and short."""
    text = value if isinstance(value, str) else _digits(value)
    if len(text) <= MAX_SHOWN and text.isprintable():
        return text
    text = text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def _digits(value: object) -> str:
    """Return the value's repr. Python refuses it for integers with thousands of digits."""
    try:
        return repr(value)
    except ValueError:
        return "a number of thousands of digits"


def _written(value: object) -> Hashable:
    identity = as_id(value)
    return (isinstance(value, str), value if isinstance(value, str) else identity) if identity is not None else None
