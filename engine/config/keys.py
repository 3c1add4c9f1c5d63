"""The keys of the configuration tree as text: dotted name, accepted values, default and meaning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.config.tree import RunConfig
from engine.protocol.record import record

_NOUNS = {
    float: ("a number", "numbers"),
    int: ("a whole number", "whole numbers"),
    str: ("text", "texts"),
    bool: ("true or false", "of true or false"),
}


@record
class ConfigKey:
    """One setting: `expected` is its type and range in words; `is_text` whether it accepts any text."""

    name: str
    expected: str
    default: object
    meaning: str
    is_text: bool = False


@cache
def config_keys(kind: type[RunConfig]) -> Mapping[str, ConfigKey]:
    """Return every key of the tree by its dotted name, in the tree's order.

    The entries of a mapping count as keys.
    """
    return {key.name: key for key in _keys(kind, "", None)}


@cache
def config_sections(kind: type[RunConfig]) -> Mapping[str, tuple[str, ...]]:
    """Return the dotted name of every section with its direct members. The name of the root is an empty string."""
    sections: dict[str, dict[str, None]] = {"": {}}
    splits = [name.split(".") for name in config_keys(kind)]
    for section, member in [(".".join(parts[:at]), parts[at]) for parts in splits for at in range(len(parts))]:
        sections.setdefault(section, {})[member] = None
    return {section: tuple(names) for section, names in sections.items()}


def section_keys(section: type[BaseModel]) -> Mapping[str, ConfigKey]:
    """Return the keys of one section by their names, such as those of a rule in a list of rules."""
    return {key.name: key for key in _keys(section, "", None)}


def shown(value: object) -> str:
    """Return a value for error messages: short, on one line, without control characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    text = f"the text {value!r}" if isinstance(value, str) else _number_or_list(value)
    return text if len(text) <= 80 else text[:76] + " ..."


def _number_or_list(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # an int with more digits than Python converts to text
        return "a number of thousands of digits"


def _keys(section: type[BaseModel], prefix: str, defaults: BaseModel | None) -> Iterator[ConfigKey]:
    """Yield the keys of a section whose values are those of `defaults`, or of its class if that is None."""
    for name, field in section.model_fields.items():
        kind: Any = field.annotation
        default: Any = getattr(defaults, name) if defaults else _default(field)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, f"{prefix}{name}.", default if isinstance(default, BaseModel) else None)
        elif get_origin(kind) is dict:
            yield from _entries(field, f"{prefix}{name}", default or {})
        else:
            yield ConfigKey(f"{prefix}{name}", _expected(field), _plain(default), field.description or "", kind is str)


def _default(field: FieldInfo) -> object:
    return None if field.is_required() else field.get_default(call_default_factory=True)


def _entries(field: FieldInfo, name: str, defaults: Mapping[str, object]) -> Iterator[ConfigKey]:
    """Yield one key per entry of a mapping's default; no other entries are accepted."""
    value_kind = get_args(field.annotation)[1]
    expected = _expected(FieldInfo.from_annotation(value_kind))
    for entry, default in defaults.items():
        yield ConfigKey(f"{name}.{entry}", expected, default, (field.description or "").replace("{entry}", entry))


def _plain(default: Any) -> object:
    return list(default) if isinstance(default, tuple) else default


def _expected(field: FieldInfo) -> str:
    kind: Any = field.annotation
    bounds = _bounds(field)
    if get_origin(kind) in (Union, UnionType):
        return ", or ".join(_expected(FieldInfo.from_annotation(part)) for part in get_args(kind))
    if get_origin(kind) is Literal:
        choices = [str(choice) for choice in get_args(kind)]
        return choices[0] if len(choices) == 1 else "one of " + ", ".join(choices)
    if get_origin(kind) is tuple:
        return _expected_list(FieldInfo.from_annotation(get_args(kind)[0]), bounds)
    return _NOUNS[kind][0] + _range(bounds)


def _expected_list(inner: FieldInfo, bounds: Mapping[str, Any]) -> str:
    kind: Any = inner.annotation
    if kind not in _NOUNS:
        return "a list of rules"
    shortest, longest = bounds["min_length"], bounds["max_length"]
    length = f"{shortest} to {longest}" if longest > shortest else str(shortest)
    return f"a list of {length} {_NOUNS[kind][1]}{_range(_bounds(inner))}"


def _bounds(field: FieldInfo) -> dict[str, Any]:
    names = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length")
    return {name: getattr(rule, name) for rule in field.metadata for name in names if hasattr(rule, name)}


def _range(bounds: dict[str, Any]) -> str:
    words = _limits(bounds)
    return words + (f" in steps of {bounds['multiple_of']}" if "multiple_of" in bounds else "")


def _limits(bounds: dict[str, Any]) -> str:
    match bounds:
        case {"ge": low, "le": high}:
            return f" from {low} to {high}"
        case {"ge": low, "lt": high}:
            return f" from {low} to below {high}"
        case {"gt": low, "le": high}:
            return f" above {low} and at most {high}"
        case {"gt": low}:
            return f" above {low}"
        case {"ge": low}:
            return f" of at least {low}"
        case _:
            return ""
