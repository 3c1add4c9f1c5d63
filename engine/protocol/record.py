"""Declare immutable records: dataclasses that are frozen, have slots, and are cheap to declare.

`dataclass(frozen=True, slots=True)` compiles six functions for each class on Python 3.11, about 0.45 ms. With 200
classes that is a fifth of the time until the first chart. Records compile next to nothing: they share their functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from functools import cache
from operator import attrgetter
from types import CodeType, FunctionType
from typing import Any, Final, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make `cls` a dataclass with slots whose instances cannot be changed.

    Instances of one class are equal, and have equal hashes, if their fields are equal. `fields`, `replace`, `asdict`,
    copies, pickles, pattern matching and inheritance work as for `dataclass(frozen=True, slots=True)`. Raises TypeError
    for a field that is given by keyword only.
    """
    own = frozenset(cls.__dict__)
    if cls.__doc__ is None:
        cls.__doc__ = cls.__name__  # `dataclass` would write a signature instead, which is slow
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    parts: tuple[Field[Any], ...] = fields(made)
    compared = [part.name for part in parts if part.compare]
    # Of a single name `attrgetter` returns the bare value: with two names it is always a tuple.
    made.compared_fields = attrgetter(*compared, *compared[:1]) if compared else staticmethod(_no_fields)
    for name, function in _SHARED.items():
        if name not in own:
            setattr(made, name, function)
    if "__init__" not in own:
        made.__init__ = _init_of(made, parts)
    return made


def _no_fields(_: object) -> tuple[()]:
    return ()


def _init_of(made: type, parts: tuple[Field[Any], ...]) -> Callable[..., None]:
    """Return the `__init__` of a record: it takes the fields in their order, then calls `__post_init__`, if any.

    Compiling costs more than the rest of a record, so records with fields of the same kinds share the code of one. In
    each it has the names of the record's own fields.
    """
    known: dict[str, object] = {"set_field": object.__setattr__, "MISSING": MISSING}
    kinds, names, defaults = "", [], []
    for part in parts:
        if part.kw_only:
            raise TypeError(f"{made.__name__}.{part.name}: a record takes no field by keyword only")
        number = len(names)
        if part.default_factory is not MISSING:
            known[f"make_{number}"] = part.default_factory
            kinds += "F" if part.init else "f"
            defaults += [MISSING] * part.init
        elif part.init:
            if part.default is MISSING and defaults:
                raise TypeError(f"{made.__name__}.{part.name}: a field without default follows one with a default")
            kinds += "A"
            defaults += [part.default] * (part.default is not MISSING)
        elif part.default is not MISSING:
            known[f"default_{number}"] = part.default
            kinds += "d"
        else:
            continue
        names.append(part.name)
    code = _code_of(kinds, hasattr(made, "__post_init__"))
    own = {f"f{number}": name for number, name in enumerate(names)}
    code = code.replace(
        co_name="__init__",
        co_varnames=tuple(own.get(name, name) for name in code.co_varnames),
        co_consts=tuple(own.get(value, value) if isinstance(value, str) else value for value in code.co_consts),
    )
    init = FunctionType(code, known, "__init__", tuple(defaults))
    init.__qualname__ = f"{made.__qualname__}.__init__"
    return init


@cache
def _code_of(kinds: str, is_followed_up: bool) -> CodeType:
    """Return the code of an `__init__` that sets the fields `f0`, `f1`, ..., one for each letter of `kinds`.

    "A" is an argument, "F" one that a factory replaces, "d" and "f" are a default and a factory without argument.
    """
    arguments, lines = ["self"], ["pass"]
    for number, kind in enumerate(kinds):
        name = value = f"f{number}"
        if kind in "AF":
            arguments.append(name)
        if kind == "F":
            value = f"make_{number}() if {name} is MISSING else {name}"
        elif kind == "f":
            value = f"make_{number}()"
        elif kind == "d":
            value = f"default_{number}"
        lines.append(f"set_field(self, {name!r}, {value})")
    if is_followed_up:
        lines.append("self.__post_init__()")
    body = "\n ".join(lines)
    made: dict[str, Any] = {}
    exec(f"def __init__({', '.join(arguments)}):\n {body}", made)
    return made["__init__"].__code__


def _eq(self: Any, other: object) -> bool:
    if other.__class__ is self.__class__:
        return self.compared_fields(self) == self.compared_fields(other)
    return NotImplemented


def _hash(self: Any) -> int:
    return hash(self.compared_fields(self))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{part.name}={getattr(self, part.name)!r}" for part in fields(self) if part.repr)
    return f"{self.__class__.__qualname__}({shown})"


def _setattr(self: object, name: str, value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: object, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _getstate(self: Any) -> list[object]:
    return [getattr(self, part.name) for part in fields(self)]


def _setstate(self: Any, values: list[object]) -> None:
    for part, value in zip(fields(self), values, strict=True):
        object.__setattr__(self, part.name, value)


_SHARED: Final[dict[str, Callable[..., object]]] = {
    "__eq__": _eq,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _setattr,
    "__delattr__": _delattr,
    "__getstate__": _getstate,
    "__setstate__": _setstate,
}
