"""Check the settings of a configuration and make its tree of them, with one sentence for each mistake."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from engine.config.files.yaml_source import Path as KeyPath
from engine.config.files.yaml_source import Setting
from engine.config.keys import config_keys, config_sections, section_keys, shown
from engine.config.sections import Section
from engine.config.supervision_sections import AlertRule
from engine.config.task.task_class import task_class
from engine.config.tree import RunConfig
from engine.errors import UserError, did_you_mean, nearest
from engine.protocol.task_spec import TaskSpec

_MOST: Final = 2**53
"""Maximum integer in a configuration: larger ones are not exact as floats."""
_ALERTS: Final = ("alerts",)
_SCORE: Final = ("validation", "score")

Settings = dict[KeyPath, Setting]
Kind = type[RunConfig]
"""The class of a task's configuration."""


def check_keys(settings: Settings, kind: Kind) -> None:
    """Raise UserError at the first unknown key, and remove empty sections."""
    keys, sections = config_keys(kind), config_sections(kind)
    for path, setting in list(settings.items()):
        name = ".".join(path)
        is_section = bool(name) and name in sections
        if not is_section and name not in keys:
            raise UserError(f"{setting.where}: {_unknown(path, kind)}")
        if is_section and setting.value not in (None, {}):
            raise UserError(_section_error(name, setting, sections[name]))
        if is_section:
            del settings[path]


def _section_error(name: str, setting: Setting, members: tuple[str, ...]) -> str:
    example = f"set {name}.{members[0]} or another key in it"
    return f"{setting.where}: {name} is a section, not {shown(setting.value)}; {example}"


def _unknown(path: KeyPath, kind: Kind) -> str:
    """Return the error about an unknown key, with the nearest known one."""
    keys, sections = config_keys(kind), config_sections(kind)
    for depth in range(len(path)):
        section, name = ".".join(path[:depth]), ".".join(path[: depth + 1])
        if name in keys:
            return f"{name} must be {keys[name].expected}, not a mapping"
        if not name or name not in sections:
            return f"there is no key {name!r}; {_nearest_key(path[depth], section, kind)}"
    raise AssertionError(f"{path} is known")


def _nearest_key(word: str, section: str, kind: Kind) -> str:
    """Return a hint: the nearest name in the section, else the nearest last part of any key, else all members."""
    members = config_sections(kind)[section]
    prefix = f"{section}." if section else ""
    if match := nearest(word, members):
        return f"did you mean {prefix + match!r}?"
    by_leaf = {name.rpartition(".")[2]: name for name in config_keys(kind)}
    if match := nearest(word, by_leaf):
        return f"did you mean {by_leaf[match]!r}?"
    return f"{section or 'a config'} has {', '.join(members)}"


def validated(settings: Settings, kind: Kind) -> RunConfig:
    """Return the config that the settings make of the defaults of `kind`, which may differ from those of its sections.

    Raises UserError: a value of the wrong type or out of its range.
    """
    tree = _defaults(kind)
    _set(tree, settings)
    try:
        config = kind.model_validate(tree)
    except ValidationError as error:
        raise UserError(_complaint(error.errors(include_url=False)[0], settings, kind)) from None
    _check_score(config, settings)
    return config


def _set(tree: dict[str, Any], settings: Settings) -> None:
    """Set the values in the tree of a config. Raises UserError for a number that no type of a key can hold."""
    for path, setting in settings.items():
        if isinstance(setting.value, int) and abs(setting.value) > _MOST:
            raise UserError(f"{setting.where}: {'.'.join(path)} is too large a number: at most {_MOST}")
        section = tree
        for name in path[:-1]:
            section = section.setdefault(name, {})
        section[path[-1]] = setting.value


def _check_score(config: RunConfig, settings: Settings) -> None:
    """Raise UserError, with the location of the value, if the task has no metric `validation.score`."""
    spec: TaskSpec = task_class(config.task).spec
    try:
        spec.scored_by(config.validation.score)
    except UserError as error:
        raise UserError(f"{settings[_SCORE].where}: validation.score: {error}") from None


def _defaults(kind: Kind) -> dict[str, Any]:
    """Return the values of `kind` with nothing set, without the fields that have no default."""
    fields = {name: field for name, field in kind.model_fields.items() if not field.is_required()}
    defaults = {name: field.get_default(call_default_factory=True) for name, field in fields.items()}
    return {name: value.model_dump() if isinstance(value, Section) else value for name, value in defaults.items()}


def _complaint(error: ErrorDetails, settings: Settings, kind: Kind) -> str:
    """Return one sentence for a pydantic error, with the location of the value."""
    if error["loc"][:1] == _ALERTS and (len(error["loc"]) > 1 or error["type"] == "value_error"):
        return _complaint_of_rule(error, settings)
    path = tuple(part for part in error["loc"] if isinstance(part, str))
    if ".".join(path[:-1]) in config_keys(kind):
        path = path[:-1]  # the rest names a branch of a union
    key = config_keys(kind).get(".".join(path))
    if key is not None and path in settings:
        setting = settings[path]
        return f"{setting.where}: {key.name} must be {key.expected}, not {shown(setting.value)}"
    message = str(error.get("ctx", {}).get("error", error["msg"]))
    return f"{_place_of(message, path, settings)}{message}"


def _complaint_of_rule(error: ErrorDetails, settings: Settings) -> str:
    """Return one sentence for a mistake in the list of alert rules, with the number of the rule, from 1."""
    where = f"{settings[_ALERTS].where}: alerts" if _ALERTS in settings else "alerts"
    message = str(error.get("ctx", {}).get("error", error["msg"]))
    if len(error["loc"]) == 1:
        return f"{where}: {message}"
    where, name = f"{where}, rule {int(error['loc'][1]) + 1}", str(error["loc"][-1])
    keys = section_keys(AlertRule)
    if len(error["loc"]) == 2:
        return f"{where} must be a mapping with name and when, not {shown(error['input'])}"
    if error["type"] == "missing":
        return f"{where} has no {name}"
    if name not in keys:
        return f"{where}: there is no key {name!r}; {did_you_mean(name, keys)}"
    if error["type"] == "value_error":
        return f"{where}: {name}: {message}"
    expected = "one word of letters, digits, - and _" if name == "name" else keys[name].expected
    return f"{where}: {name} must be {expected}, not {shown(error['input'])}"


def _place_of(message: str, section: KeyPath, settings: Settings) -> str:
    """Return the location of the newest setting that `message` names."""
    named = [s for p, s in settings.items() if p[: len(section)] == section and p[-1] in message]
    return f"{named[-1].where}: " if named else ""
