"""Find mistakes in the configuration class of a task: what the engine reads must stay, and defaults must fit."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticUserError

from engine.config.tree import RunConfig


def config_mistake(kind: type[RunConfig]) -> str:
    """Return the first mistake in a task's `Config` as a sentence; an empty string if there is none."""
    if replaced := next(_replaced(kind, RunConfig, "Config"), ""):
        return replaced
    try:
        kind()
    except ValidationError as error:
        first = error.errors()[0]
        return f"Config.{'.'.join(map(str, first['loc']))}: its default does not fit: {first['msg']}"
    except PydanticUserError as error:
        return f"Config: {error.message}"
    return ""


def _replaced(own: type[BaseModel], base: type[BaseModel], path: str) -> Iterator[str]:
    """Yield what keys of `own` take away from `base`: a section, or one of its methods."""
    for name in own.model_fields:
        if name not in base.model_fields and name in vars(base):
            yield f"{path}.{name} hides {base.__name__}.{name}: give the key another name"
    for name, field in base.model_fields.items():
        section, mine = field.annotation, own.model_fields[name].annotation
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            if base is RunConfig and mine != section:
                yield f"{path}.{name} replaces a key of every run: give the key another name"
        elif isinstance(mine, type) and issubclass(mine, section):
            yield from _replaced(mine, section, f"{path}.{name}")
        else:
            yield f"{path}.{name} replaces a section of every run: derive its class from {section.__name__}"
