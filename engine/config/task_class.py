"""The class that a configuration names as its task, found by name: nothing imports a task."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from pydantic import Field, create_model, field_validator

from engine.config.tree import NonNegative, RunConfig, Section
from engine.errors import UserError

DEFAULT_TASK: Final = "engine.tasks.person.task:PersonTask"
"""The task of a configuration that names none."""


# A task is somebody's class, of no common base: hence Any.
def task_class(where: str) -> Any:
    """Return the class at `where`: `package.module:Class` or `FILE.py:Class`, '' for the default task.

    Raises UserError where there is none.
    """
    place, colon, name = (where or DEFAULT_TASK).rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise UserError(f"the task {where!r} cannot be read; name it as FILE.py:Class or package.module:Class")
    try:
        module = _module(place)
    except (ImportError, OSError, SyntaxError) as error:
        raise UserError(f"the task {where!r} cannot be loaded: {error}") from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise UserError(f"the task {where!r} cannot be loaded: {place} has no class {name!r}")
    return found


def absolute_task(where: str) -> str:
    """Return `where` with the path of its file made absolute, so that a run can be resumed from another folder."""
    place, _, name = where.rpartition(":")
    return f"{Path(place).resolve()}:{name}" if place.endswith(".py") else where


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        return import_module(place)
    path = Path(place).resolve()
    if (loaded := sys.modules.get(path.stem)) is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} is no Python file")
    module = module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # data workers import the classes of its samples by this name
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module


@cache
def config_class(where: str) -> type[RunConfig]:
    """Return the class of the configuration of the task at `where`: the task's own, with what its spec adds.

    That is a weight for each loss term, and a switch for each component, where the task has no keys for them.
    Raises UserError where there is no such task.
    """
    task = task_class(where)
    own, spec = task.Config, task.spec
    added: dict[str, Any] = {}
    if spec.terms and not own().loss.weights:
        defaults = {term.name: term.weight for term in spec.terms}
        added["loss"] = _section(_weighted(own.model_fields["loss"].annotation, defaults))
    if spec.components and own.switches.__func__ is RunConfig.switches.__func__:
        switches = {name: (bool, Field(False, description=f"Begin with {name} on.")) for name in spec.component_names}
        added["components"] = _section(_built("ComponentsConfig", Section, switches))
    return _built(own.__name__, own, added) if added else own


# pydantic's create_model takes the fields as keywords of any name, which its types do not say: hence Any.
def _built(name: str, base: Any, fields: dict[str, Any], **more: Any) -> Any:
    make: Any = create_model
    return make(name, __base__=base, **more, **fields)


def _section(kind: Any) -> tuple[Any, Any]:
    return kind, kind()


def _weighted(base: Any, defaults: dict[str, float]) -> Any:
    """Return the section of the losses with these terms; weights that are not given keep their defaults."""

    def complete(weights: object) -> object:
        return {**defaults, **weights} if isinstance(weights, dict) else weights

    meaning = "Weight of the {entry} term in the total loss."
    field = Field(default_factory=lambda: dict(defaults), description=meaning)
    validators = {"complete": field_validator("weights", mode="before")(complete)}
    return _built("TaskLossConfig", base, {"weights": (dict[str, NonNegative], field)}, __validators__=validators)
