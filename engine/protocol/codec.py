"""Convert frozen dataclasses to plain JSON values and back by their annotations; NaN and infinities become text."""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin

Json = bool | int | float | str | list["Json"] | dict[str, "Json"] | None

T = TypeVar("T")

_NOT_FINITE = ("NaN", "Infinity", "-Infinity")


class WireError(ValueError):
    """Raised for a JSON value that the protocol does not write. The message names the field and the expected type."""


def to_json(value: object) -> Json:
    """Return `value` as plain JSON: non-finite floats become 'NaN', 'Infinity' or '-Infinity', sets sorted lists.

    Raises TypeError for an unsupported type.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else float_word(value)
    if isinstance(value, StrEnum):
        return value.value
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_json(held) for key, held in cast(Mapping[object, object], value).items()}
    if isinstance(value, frozenset):
        return sorted((to_json(item) for item in cast(frozenset[object], value)), key=str)
    if isinstance(value, tuple | list):
        return [to_json(item) for item in cast(list[object], value)]
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} {value!r} cannot go on the wire")


def to_text(value: object) -> str:
    """Return `value` as one line of strict, ASCII-only JSON."""
    return json.dumps(to_json(value), allow_nan=False, separators=(",", ":"))


def float_word(value: float) -> str:
    """Return the text of a non-finite float in JSON."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def from_json(kind: type[T], value: Json) -> T:
    """Return the dataclass `kind` that `value` describes. Unknown keys are ignored, missing ones have their defaults.

    Raises WireError with the name of a field that is missing or of another type.
    """
    if not isinstance(value, dict):
        raise WireError(f"{kind.__name__} must be an object, not {value!r}")
    hints = _hints(kind)
    given: dict[str, object] = {}
    for field in fields(cast(Any, kind)):
        if field.name in value:
            given[field.name] = _read(hints[field.name], value[field.name], f"{kind.__name__}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise WireError(f"{kind.__name__}.{field.name} is missing")
    return kind(**given)


def from_text(text: str) -> Json:
    """Return the JSON value in `text`. Raises WireError if it is not JSON."""
    try:
        return cast(Json, json.loads(text))
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {error}") from None


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


# `Any`: type hints have no common class at run time.
def _read(hint: Any, value: Json, where: str) -> object:
    """Return `value` as the type `hint`. Raises WireError with the name of the field, `where`."""
    if hint is object:
        return value
    origin, inner = get_origin(hint), get_args(hint)
    if origin is types.UnionType:
        return _read_union(inner, value, where)
    if origin in (tuple, frozenset) and isinstance(value, list):
        return origin(_read(inner[0], item, where) for item in value)
    if origin is Mapping and isinstance(value, dict):
        return types.MappingProxyType({key: _read(inner[1], held, where) for key, held in value.items()})
    if origin is None and is_dataclass(hint):
        return from_json(cast(type, hint), value)
    if origin is None and issubclass(hint, StrEnum) and isinstance(value, str) and value in set(hint):
        return hint(value)
    reader = _SCALARS.get(hint)
    if reader is None:
        raise WireError(f"{where} cannot be {value!r}")
    return reader(value, where)


def _read_union(arms: tuple[Any, ...], value: Json, where: str) -> object:
    """Return `value` as one of `arms`: `None` or another type, or several types that JSON tells apart.

    Text stays text, also 'NaN': no field that may be a text is a number that is not finite.
    """
    several = [arm for arm in arms if arm is not types.NoneType]
    if value is None and len(several) < len(arms):
        return None
    if len(several) == 1:
        return _read(several[0], value, where)
    if type(value) in several:
        return value
    raise WireError(f"{where} cannot be {value!r}")


def _read_float(value: Json, where: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise WireError(f"{where} is too large a number") from None
    if value in _NOT_FINITE:
        return float(cast(str, value))
    raise WireError(f"{where} must be a number, not {value!r}")


def _read_int(value: Json, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise WireError(f"{where} must be a whole number, not {value!r}")


def _read_bool(value: Json, where: str) -> bool:
    if isinstance(value, bool):
        return value
    raise WireError(f"{where} must be true or false, not {value!r}")


def _read_str(value: Json, where: str) -> str:
    if isinstance(value, str):
        return value
    raise WireError(f"{where} must be a text, not {value!r}")


_SCALARS: dict[object, Callable[[Json, str], object]] = {
    float: _read_float,
    int: _read_int,
    bool: _read_bool,
    str: _read_str,
}
