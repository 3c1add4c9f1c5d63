"""Load the task class that a configuration names. No module imports a task directly."""

from __future__ import annotations

import sys
from functools import cache, partial
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, Final

from pydantic import Field, create_model, field_validator

from engine.config.sections import NonNegative, Section
from engine.config.task.config_check import config_mistake
from engine.config.task.spec_check import spec_mistake
from engine.config.tree import RunConfig
from engine.errors import UserError, undone_by_error
from engine.protocol.task_spec import TaskSpec

DEFAULT_TASK: Final = "engine.tasks.person.task:PersonTask"
"""The task of a configuration that names none."""


_FILES: Final[set[str]] = set()
"""Names of modules loaded from task files."""
_MEMBERS: Final = ("spec", "Config", "open_data", "build_model", "forward", "losses", "score", "metrics")


# `Any`: task classes have no common base.
@cache
def task_class(where: str) -> Any:
    """Return the class at `where`: `package.module:Class`, `FILE.py:Class`, or an empty string for the default task.

    Raises UserError if the class does not exist, lacks a member, or has a contradictory spec or Config.
    """
    found = _class_at(where)
    if missing := [member for member in _MEMBERS if not hasattr(found, member)]:
        raise UserError(f"the task {where!r} lacks {', '.join(missing)}; a task has {', '.join(_MEMBERS)}")
    if not (isinstance(found.Config, type) and issubclass(found.Config, RunConfig)):
        raise UserError(f"the task {where!r}: Config is no subclass of RunConfig")
    if not isinstance(found.spec, TaskSpec):
        raise UserError(f"the task {where!r}: spec is no TaskSpec")
    if mistake := spec_mistake(found.spec) or config_mistake(found.Config):
        raise UserError(f"the task {where!r}: {mistake}")
    return found


def _class_at(where: str) -> Any:
    place, colon, name = (where or DEFAULT_TASK).rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise UserError(f"the task {where!r} cannot be read; name it as FILE.py:Class or package.module:Class")
    try:
        module = _module(place)
    except Exception as error:  # a module's own code may raise anything
        raise UserError(f"the task {where!r} cannot be loaded: {_told(error, place)}") from error
    except SystemExit as error:
        raise UserError(
            f"the task {where!r} cannot be loaded: its file ends the program{_line_in(error, place)}; put the code "
            "that does so below if __name__ == '__main__'"
        ) from error
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise UserError(f"the task {where!r} cannot be loaded: {place} has no class {name!r}")
    return found


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
    if path.stem not in _FILES and (path.stem in sys.modules or path.stem in sys.stdlib_module_names):
        raise ImportError(f"a module of Python or of this program is called {path.stem!r} too: rename the file")
    sys.path.insert(0, str(path.parent))  # data workers import the sample classes by this name
    sys.modules[path.stem] = module
    _FILES.add(path.stem)
    with undone_by_error(partial(_unload, path)):
        spec.loader.exec_module(module)
    return module


def _unload(path: Path) -> None:
    del sys.modules[path.stem]
    sys.path.remove(str(path.parent))


def _told(error: Exception, place: str) -> str:
    """Return the message of `error`, with the line of the task's file that raised it."""
    at = _line_in(error, place)
    own = isinstance(error, ImportError | OSError | SyntaxError)
    return f"{error}{at}" if own else f"{type(error).__name__}: {error}{at}"


def _line_in(error: BaseException, place: str) -> str:
    """Return the line of the task's file that raised `error`, in brackets; an empty string if none did."""
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(Path(place).resolve())]
    return f" (line {lines[-1]})" if lines else ""


@cache
def config_class(where: str) -> type[RunConfig]:
    """Return the configuration class of the task at `where`, completed from its spec.

    The spec adds a weight per loss term and a switch per component, if the task has no keys for them. Raises UserError
    if the task does not exist.
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


# `Any`: the types of pydantic's create_model do not describe fields as keywords.
def _built(name: str, base: Any, fields: dict[str, Any], **more: Any) -> Any:
    make: Any = create_model
    return make(name, __base__=base, **more, **fields)


def _section(kind: Any) -> tuple[Any, Any]:
    return kind, kind()


def _weighted(base: Any, defaults: dict[str, float]) -> Any:
    """Return the loss section with these terms. Missing weights have their defaults."""

    def complete(weights: object) -> object:
        return {**defaults, **weights} if isinstance(weights, dict) else weights

    meaning = "Weight of the {entry} term in the total loss."
    field = Field(default_factory=lambda: dict(defaults), description=meaning)
    validators = {"complete": field_validator("weights", mode="before")(complete)}
    return _built("TaskLossConfig", base, {"weights": (dict[str, NonNegative], field)}, __validators__=validators)
